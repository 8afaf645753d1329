//! Brokers served over real sockets, on a real log: what they ask is asked here by hand.

// All of it is test code, helpers too; the attribute tells the lints so.
#[cfg(test)]
mod brokers;
#[cfg(test)]
mod client;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod served;
