//! Import, projection and comparison, seen from outside: what they must notice, and the laws that bind them.

mod both_ways;
mod edits;
mod import_golden;
mod import_traps;
mod kafka_tree;
mod normal;
mod normal_forms;
mod project_golden;
mod project_traps;
mod sync_traps;
mod tree;
