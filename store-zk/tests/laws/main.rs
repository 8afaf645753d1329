//! Import, projection and comparison, seen from outside: what they must notice, and the laws that bind them.

#[cfg(test)]
mod both_ways;
#[cfg(test)]
mod canonical;
#[cfg(test)]
mod captured;
#[cfg(test)]
mod edits;
#[cfg(test)]
mod import_golden;
#[cfg(test)]
mod import_traps;
#[cfg(test)]
mod kafka_tree;
#[cfg(test)]
mod normal;
#[cfg(test)]
mod normal_forms;
#[cfg(test)]
mod project_golden;
#[cfg(test)]
mod project_traps;
#[cfg(test)]
mod sync_traps;
#[cfg(test)]
mod tree;
