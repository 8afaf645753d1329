//! Sets an unsound folder aside for whoever wants to look at it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Renames `dir` to `<dir>.damaged-N`, with the next free N, and removes the one that was set aside before.
pub(super) fn set_aside(dir: &Path) -> Result<PathBuf, String> {
    let failed = |error: io::Error| format!("{} can't be set aside ({error})", dir.display());
    let parent = dir.parent().unwrap_or(Path::new("."));
    let prefix = format!("{}.damaged-", dir.file_name().unwrap_or_default().to_string_lossy());
    let mut before = Vec::new();
    for entry in fs::read_dir(parent).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        let number =
            name.to_str().and_then(|name| name.strip_prefix(&prefix)).and_then(|text| text.parse::<u64>().ok());
        before.extend(number);
    }
    let next = before.iter().max().map_or(1, |last| last + 1);
    let target = parent.join(format!("{prefix}{next}"));
    fs::rename(dir, &target).map_err(failed)?;
    for number in before {
        fs::remove_dir_all(parent.join(format!("{prefix}{number}"))).map_err(failed)?;
    }
    Ok(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_folder_is_kept_aside() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("cache");
        for number in 1..4 {
            fs::create_dir(&dir).unwrap();
            fs::write(dir.join("file"), number.to_string()).unwrap();
            let aside = set_aside(&dir).unwrap();
            assert_eq!(aside, parent.path().join(format!("cache.damaged-{number}")));
            assert_eq!(fs::read_to_string(aside.join("file")).unwrap(), number.to_string());
            assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
        }
    }
}
