//! The log through its public API: what it promises, what survives a crash, what is told of damage, what is removed.

// All of it is test code, helpers too; the attribute tells the lints so.
#[cfg(test)]
mod common;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod fetch;
#[cfg(test)]
mod log;
#[cfg(test)]
mod registrations;
#[cfg(test)]
mod retention;
