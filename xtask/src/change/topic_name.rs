//! Which names topics may have (Kafka: `Topic.java`).

use metadata_core::image::TopicsImage;

use super::{Refusal, refuse};

/// Longest name, in characters: it becomes a directory's name with a partition number behind it.
const LENGTH_MAX: usize = 249;

/// Whether a new topic may be called so.
pub(super) fn check(name: &str, topics: &TopicsImage) -> Result<(), Refusal> {
    let legal = "use 1 to 249 of the characters a-z A-Z 0-9 . _ -, and neither . nor ..";
    let illegal = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if name.is_empty() || name == "." || name == ".." || name.len() > LENGTH_MAX || name.contains(illegal) {
        let shown: String = name.chars().take(LENGTH_MAX + 1).collect();
        return refuse(format!("no topic can be called {shown:?}"), legal);
    }
    if topics.id(name).is_some() {
        return refuse(format!("topic {name} exists already"), "choose another name, or delete the topic first");
    }
    let plain = metric_name(name);
    match topics.iter_by_name().find(|(other, _)| metric_name(other) == plain) {
        Some((other, _)) => refuse(
            format!("topic {name} would have the same metrics as {other}, since metrics write . as _"),
            "choose another name",
        ),
        None => Ok(()),
    }
}

fn metric_name(name: &str) -> String {
    name.replace('.', "_")
}
