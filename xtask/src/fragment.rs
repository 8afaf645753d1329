//! Generated parts of the documents: what stands between `<!-- name -->` and `<!-- /name -->`, each on a line of its own.

use std::fs;
use std::path::Path;

/// A part of a document that code writes.
pub(crate) struct Fragment {
    /// The document, seen from the root of the repository.
    pub(crate) document: &'static str,
    /// The name in the markers.
    pub(crate) name: &'static str,
    /// Writes the content, given the root of the repository.
    content: fn(&Path) -> Result<String, String>,
}

/// All of them.
pub(crate) const FRAGMENTS: [Fragment; 5] = [
    Fragment { document: "ARCHITECTURE.md", name: "driver-table", content: |_| Ok(migration::driver::as_markdown()) },
    Fragment {
        document: "ARCHITECTURE.md",
        name: "decision-table",
        content: |_| Ok(migration::driver::decisions_as_markdown()),
    },
    Fragment { document: "ARCHITECTURE.md", name: "gate-table", content: |_| Ok(migration::gate::as_markdown()) },
    Fragment {
        document: "ARCHITECTURE.md",
        name: "give-back-table",
        content: |root| table_of(root, "fencing/src/give_back.rs"),
    },
    Fragment {
        document: "ARCHITECTURE.md",
        name: "claim-table",
        content: |root| table_of(root, "fencing/src/claim.rs"),
    },
];

impl Fragment {
    /// Reads the document and returns it as it is and as it should be.
    ///
    /// # Errors
    /// Names the document, and what is wrong with it or with the source of the content.
    pub(crate) fn present_and_fresh(&self, root: &Path) -> Result<(String, String), String> {
        let present = read(root, self.document)?;
        let content = (self.content)(root)?;
        let Self { document, name, .. } = self;
        let fresh = replace(&present, name, &content)
            .ok_or_else(|| format!("{document} lacks the lines <!-- {name} --> and <!-- /{name} -->, in this order"))?;
        Ok((present, fresh))
    }
}

/// The table in the module's own documentation, where it stands beside the code that it describes.
fn table_of(root: &Path, source: &str) -> Result<String, String> {
    let text = read(root, source)?;
    let rows =
        text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).filter(|line| line.starts_with('|'));
    let table: String = rows.flat_map(|row| [row, "\n"]).collect();
    if table.is_empty() { Err(format!("the documentation of {source} has no table")) } else { Ok(table) }
}

fn read(root: &Path, file: &str) -> Result<String, String> {
    fs::read_to_string(root.join(file)).map_err(|error| format!("{file} can't be read: {error}"))
}

/// The text with other content between the markers; `None` if it lacks one of them.
fn replace(text: &str, name: &str, content: &str) -> Option<String> {
    let (before, rest) = text.split_once(&format!("<!-- {name} -->\n"))?;
    let end = format!("<!-- /{name} -->\n");
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}<!-- {name} -->\n{content}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository_root;

    #[test]
    fn the_documents_hold_what_the_code_says() {
        for fragment in FRAGMENTS {
            let (present, fresh) = fragment.present_and_fresh(&repository_root()).unwrap();
            let Fragment { document, name, .. } = fragment;
            assert!(present == fresh, "{name} in {document} is stale: run `cargo xtask bless`");
        }
    }

    #[test]
    fn only_what_is_between_the_markers_changes() {
        let text = "a\n<!-- t -->\nold\n<!-- /t -->\nb\n";
        assert_eq!(replace(text, "t", "new\n").unwrap(), "a\n<!-- t -->\nnew\n<!-- /t -->\nb\n");
        assert_eq!(replace(text, "t", "old\n").unwrap(), text);
        for broken in ["", "<!-- t -->\n", "<!-- /t -->\n<!-- t -->\n"] {
            assert_eq!(replace(broken, "t", "new\n"), None, "{broken:?}");
        }
    }

    #[test]
    fn a_modules_table_is_read_without_the_text_around_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.rs"), "//! Text.\n//!\n//! | a |\n//! | - |\n//! More.\n\n//! | no |\n")
            .unwrap();
        assert_eq!(table_of(folder.path(), "a.rs").unwrap(), "| a |\n| - |\n");
        fs::write(folder.path().join("b.rs"), "//! Text.\n").unwrap();
        assert!(table_of(folder.path(), "b.rs").unwrap_err().contains("b.rs"));
        assert!(table_of(folder.path(), "c.rs").unwrap_err().contains("c.rs"));
    }
}
