//! Kafka's jars, and a Java to run them.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use store_zk::testkit::{NoMaven, class_path, find_java, maven_jars};
use tokio::io::AsyncWriteExt as _;

use super::KafkaDump;
use super::release::{Program, Release};

/// A tool that takes longer than this hangs.
const TOOL_MAX: Duration = Duration::from_secs(180);

/// Largest heap of a tool.
const TOOL_HEAP: &str = "-Xmx256m";

/// Lines of a failed tool's output that its error shows.
const TAIL_LINES: usize = 12;

/// A release, ready to run. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Kafka {
    release: Release,
    java: Arc<str>,
    class_path: Arc<str>,
}

impl Kafka {
    /// Finds the jars of a release, or fetches them with Maven, which is installed if it is missing and we may. `say` is told
    /// before.
    ///
    /// Blocks, for minutes if they have to be fetched.
    ///
    /// # Errors
    /// Java or Maven is missing, or Maven can't fetch; with what to install.
    pub fn find(release: Release, say: &dyn Fn(&str)) -> Result<Self, String> {
        let java = find_java().ok_or(
            "there is no java in JAVA_HOME or on the PATH: install Java 17 (on Debian: apt-get install \
             openjdk-17-jre-headless)",
        )?;
        let jars = maven_jars(&format!("kafka-{release}"), &release.artifacts(), NoMaven::Install, say)?;
        Ok(Self { release, java: java.into(), class_path: class_path(&jars).into() })
    }

    /// Which release it is.
    pub fn release(&self) -> Release {
        self.release
    }

    /// The Java program.
    pub(super) fn java(&self) -> &str {
        &self.java
    }

    /// The arguments by which Java runs a program: quick to start, and small. `options` come last, so that
    /// they count.
    ///
    /// # Errors
    /// The release has no such program.
    pub(super) fn arguments(&self, program: Program, options: &[&str]) -> Result<Vec<String>, String> {
        let class = self.release.main_class(program);
        let class = class.ok_or_else(|| format!("Kafka {} has no program {program:?}", self.release))?;
        let quick = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"];
        let on_class_path = ["-cp", &self.class_path, class];
        Ok(quick.iter().chain(options).chain(&on_class_path).map(|&argument| argument.to_owned()).collect())
    }

    /// Runs a tool to its end and returns what it printed on stdout. `input` is what it reads on stdin. The tool is killed
    /// when the future is dropped.
    ///
    /// # Errors
    /// It can't be run, takes longer than three minutes, or ends with a failure: the end of what it printed is in the message.
    pub async fn run<A: AsRef<OsStr>>(&self, program: Program, arguments: &[A], input: &str) -> Result<String, String> {
        let failed = |reason: String| format!("{program:?} of Kafka {}: {reason}", self.release);
        let mut command = tokio::process::Command::new(&*self.java);
        command.args(self.arguments(program, &[TOOL_HEAP])?).args(arguments).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| failed(format!("{} can't be run: {error}", self.java)))?;
        let stdin = child.stdin.take();
        let feed = async {
            if let Some(mut stdin) = stdin {
                // A tool that ended early reads no more; how it ended says why.
                let _ = stdin.write_all(input.as_bytes()).await;
            }
        };
        let all = async { tokio::join!(feed, child.wait_with_output()).1 };
        let output = match tokio::time::timeout(TOOL_MAX, all).await {
            Ok(output) => output.map_err(|error| failed(error.to_string()))?,
            Err(_) => return Err(failed(format!("no end after {} s", TOOL_MAX.as_secs()))),
        };
        let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        if output.status.success() {
            return Ok(stdout);
        }
        Err(failed(format!("{}\n{}", output.status, tail(&format!("{stdout}\n{stderr}"), TAIL_LINES))))
    }

    /// Has Kafka's `DumpLogSegments` read segments and snapshots with its metadata decoder, in one run: a dump for each, in
    /// their order.
    ///
    /// # Errors
    /// It can't be run, takes too long, ends with a failure, or prints what is not understood.
    pub async fn dump_files(&self, files: &[PathBuf]) -> Result<Vec<KafkaDump>, String> {
        let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        let names = names.join(",");
        let printed = self.run(Program::DumpLog, &["--cluster-metadata-decoder", "--files", &names], "").await?;
        let dumps = KafkaDump::parse_all(&printed).map_err(|reason| format!("what Kafka says of {names}: {reason}"))?;
        if dumps.len() == files.len() {
            return Ok(dumps);
        }
        Err(format!("Kafka was asked for {} files and tells of {}: {names}", files.len(), dumps.len()))
    }
}

/// The last lines of a text that say something.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    all.get(all.len().saturating_sub(lines)..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_text_is_its_last_lines() {
        assert_eq!(tail("a\n\nb\n  \nc\n", 2), "b\nc");
        assert_eq!(tail("a", 5), "a");
        assert_eq!(tail("", 5), "");
    }
}
