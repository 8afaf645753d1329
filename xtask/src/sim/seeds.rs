//! Seeds that have failed once. Each run begins with them.

/// One seed, and what it showed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) seed: u64,
    pub(crate) why: &'static str,
}

/// The kept seeds: `seeds.txt`, a line each, the seed and a word why.
///
/// # Errors
/// A line that is neither empty, nor a comment, nor a seed with its reason.
pub(crate) fn kept() -> Result<Vec<Kept>, String> {
    parse(include_str!("seeds.txt"))
}

fn parse(text: &'static str) -> Result<Vec<Kept>, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (seed, why) = line.split_once(' ').ok_or_else(|| format!("seeds.txt: \"{line}\" has no reason"))?;
            let seed = seed.parse().map_err(|error| format!("seeds.txt: \"{seed}\": {error}"))?;
            Ok(Kept { seed, why: why.trim() })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_a_seed_and_a_reason() {
        assert_eq!(parse("# a\n\n7 late multis\n"), Ok(vec![Kept { seed: 7, why: "late multis" }]));
        assert!(parse("7").is_err_and(|error| error.contains("no reason")));
        assert!(parse("x y").is_err());
        assert!(kept().is_ok());
    }
}
