//! Jars from Maven, each set in a folder of its own below cargo's target folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::debian;

const DEBIAN_PACKAGE: &str = "maven";

/// A dependency, by Maven's coordinates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Artifact {
    /// The group.
    pub group: &'static str,
    /// The artifact.
    pub name: &'static str,
    /// The version.
    pub version: &'static str,
    /// Groups of what it brings along that are left out.
    pub without: &'static [&'static str],
}

/// What to do where there is no Maven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoMaven {
    /// Say so.
    Refuse,
    /// Install it, as root on Debian.
    Install,
}

impl Artifact {
    /// The artifact with all that it brings along.
    pub const fn new(group: &'static str, name: &'static str, version: &'static str) -> Self {
        Self { group, name, version, without: &[] }
    }
}

/// Fetches the artifacts and everything below them, once: what was fetched is kept below cargo's target folder, in a
/// folder named `name`, until other artifacts are asked for under this name. Processes that want the same wait for each
/// other. `say` is told before anything is fetched or installed.
///
/// Blocks, for minutes if much has to be fetched.
///
/// # Errors
/// There is no Maven and none can be installed, or it can't fetch; with what to do.
pub fn maven_jars(
    name: &str,
    artifacts: &[Artifact],
    no_maven: NoMaven,
    say: &dyn Fn(&str),
) -> Result<Vec<PathBuf>, String> {
    Cache { folder: target_folder().join(name), pom: pom(name, artifacts) }.jars(|pom, jars| {
        ensure_maven(no_maven, say)?;
        say(&format!("fetching {name} with Maven into {}", jars.display()));
        fetch(pom, jars).map_err(|reason| {
            format!("mvn could not fetch {name}: {reason}. Check the network and Maven's settings, and try again")
        })
    })
}

/// The jars of one project.
struct Cache {
    folder: PathBuf,
    pom: String,
}

impl Cache {
    /// Those that are there, or what `fetch` makes of the project's file in the folder of the jars.
    fn jars(&self, fetch: impl FnOnce(&Path, &Path) -> Result<(), String>) -> Result<Vec<PathBuf>, String> {
        let in_cache = |error: io::Error| format!("{}: {error}", self.folder.display());
        fs::create_dir_all(&self.folder).map_err(in_cache)?;
        // Several test binaries may want it at once; the lock goes when the file is closed.
        let lock = fs::File::create(self.folder.join("lock")).map_err(in_cache)?;
        lock.lock().map_err(in_cache)?;
        let [complete, project, jars] = ["complete", "pom.xml", "lib"].map(|name| self.folder.join(name));
        // The mark says what is complete, so that a change of the project is noticed.
        if fs::read_to_string(&complete).is_ok_and(|of| of == self.pom) {
            return jars_in(&jars).map_err(in_cache);
        }
        // What an interrupted run has left may be half a jar.
        match fs::remove_dir_all(&jars) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(in_cache(error)),
            _ => {}
        }
        fs::write(&project, &self.pom).map_err(in_cache)?;
        fetch(&project, &jars)?;
        let found = jars_in(&jars).map_err(in_cache)?;
        fs::write(&complete, &self.pom).map_err(in_cache)?;
        Ok(found)
    }
}

fn ensure_maven(no_maven: NoMaven, say: &dyn Fn(&str)) -> Result<(), String> {
    let is_there = || Command::new("mvn").arg("--version").output().is_ok_and(|output| output.status.success());
    if is_there() {
        return Ok(());
    }
    let why = match no_maven {
        NoMaven::Refuse => "there is no mvn on the PATH".to_owned(),
        NoMaven::Install => match debian::install(&[DEBIAN_PACKAGE], say) {
            Ok(()) if is_there() => return Ok(()),
            Ok(()) => "Maven was installed, but there is no mvn on the PATH".to_owned(),
            Err(reason) => format!("there is no mvn on the PATH, and {reason}"),
        },
    };
    Err(format!("{why}: install Maven (on Debian: apt-get install {DEBIAN_PACKAGE})"))
}

fn fetch(project: &Path, jars: &Path) -> Result<(), String> {
    let fetched = Command::new("mvn")
        .args(["--batch-mode", "--quiet", "--file"])
        .arg(project)
        .arg("dependency:copy-dependencies")
        .arg(format!("-DoutputDirectory={}", jars.display()))
        .output()
        .map_err(|error| format!("it can't be run: {error}"))?;
    if fetched.status.success() {
        return Ok(());
    }
    let output = String::from_utf8_lossy(&fetched.stdout).into_owned();
    Err(output.lines().find(|line| line.contains("ERROR")).unwrap_or("no reason given").trim().to_owned())
}

/// A project of nothing but dependencies.
fn pom(name: &str, artifacts: &[Artifact]) -> String {
    let dependencies: String = artifacts.iter().map(dependency).collect();
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>store-zk.testkit</groupId>
  <artifactId>{name}</artifactId>
  <version>1</version>
  <dependencies>
{dependencies}  </dependencies>
</project>
"#
    )
}

fn dependency(artifact: &Artifact) -> String {
    let Artifact { group, name, version, without } = artifact;
    let exclusions: String = without
        .iter()
        .map(|group| format!("<exclusion><groupId>{group}</groupId><artifactId>*</artifactId></exclusion>"))
        .collect();
    let exclusions = if exclusions.is_empty() { exclusions } else { format!("<exclusions>{exclusions}</exclusions>") };
    format!(
        "    <dependency><groupId>{group}</groupId><artifactId>{name}</artifactId>\
         <version>{version}</version>{exclusions}</dependency>\n"
    )
}

pub(super) fn jars_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut jars = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jar") {
            jars.push(path);
        }
    }
    if jars.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no jars"));
    }
    jars.sort();
    Ok(jars)
}

/// Java's class path of these jars.
pub fn class_path(jars: &[PathBuf]) -> String {
    jars.iter().map(|jar| jar.to_string_lossy()).collect::<Vec<_>>().join(":")
}

/// Cargo marks its target folder; the running binary lies in it. Elsewhere (an installed binary) the system's
/// temporary folder has to do.
pub(super) fn target_folder() -> PathBuf {
    let binary = std::env::current_exe().unwrap_or_default();
    let target = binary.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
    target.map_or_else(std::env::temp_dir, Path::to_path_buf)
}

#[cfg(test)]
mod on_files {
    use super::*;

    fn put(jars: &Path, names: &[&str]) -> Result<(), String> {
        fs::create_dir_all(jars).unwrap();
        names.iter().for_each(|name| fs::write(jars.join(name), "").unwrap());
        Ok(())
    }

    fn names(jars: &[PathBuf]) -> Vec<&str> {
        jars.iter().map(|jar| jar.file_name().unwrap().to_str().unwrap()).collect()
    }

    #[test]
    fn what_is_complete_is_not_fetched_again_until_something_else_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let cache = |pom: &str| Cache { folder: folder.path().join("kafka"), pom: pom.to_owned() };
        let first = cache("one").jars(|project, jars| {
            assert_eq!(fs::read_to_string(project).unwrap(), "one");
            put(jars, &["b.jar", "a.jar", "notes.txt"])
        });
        assert_eq!(names(&first.unwrap()), ["a.jar", "b.jar"]);
        let again = cache("one").jars(|_, _| panic!("it is there"));
        assert_eq!(names(&again.unwrap()), ["a.jar", "b.jar"]);
        let other = cache("two").jars(|_, jars| put(jars, &["c.jar"]));
        assert_eq!(names(&other.unwrap()), ["c.jar"], "what was there before is gone");
    }

    #[test]
    fn what_was_not_fetched_to_its_end_is_fetched_anew() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache { folder: folder.path().to_owned(), pom: "one".to_owned() };
        let failed = cache.jars(|_, jars| {
            put(jars, &["half.jar"])?;
            Err("the network went away".to_owned())
        });
        assert_eq!(failed.unwrap_err(), "the network went away");
        assert!(cache.jars(|_, jars| put(jars, &[])).unwrap_err().contains("no jars"));
        assert_eq!(names(&cache.jars(|_, jars| put(jars, &["whole.jar"])).unwrap()), ["whole.jar"]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_names_each_artifact_and_what_is_left_out() {
        let plain = Artifact::new("g", "a", "1");
        let text = pom("x-1", &[plain, Artifact { name: "b", without: &["log"], ..plain }]);
        for expected in [
            "<artifactId>x-1</artifactId>",
            "<dependency><groupId>g</groupId><artifactId>a</artifactId><version>1</version></dependency>",
            "<version>1</version><exclusions><exclusion><groupId>log</groupId><artifactId>*</artifactId></exclusion>\
             </exclusions></dependency>",
        ] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
    }
}
