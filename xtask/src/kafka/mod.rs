//! Apache Kafka's own tools, to check our files against: the jars come from Maven.
//!
//! - [`Kafka`] finds them and runs `DumpLogSegments`;
//! - [`KafkaDump`] is what it printed, read.

mod dump;

use std::path::Path;
use std::process::Command;

use store_zk::testkit::{Artifact, NoMaven, class_path, find_java, maven_jars};

pub use self::dump::{KafkaBatch, KafkaDump, KafkaRecord, RecordText};

/// The last release of the last line that can migrate.
pub const KAFKA_VERSION: &str = "3.9.2";

/// The log tool, what its metadata decoder needs (kafka-shell reads snapshots), and a logger.
const ARTIFACTS: [Artifact; 4] = [
    Artifact::new("org.apache.kafka", "kafka_2.13", KAFKA_VERSION),
    Artifact::new("org.apache.kafka", "kafka-tools", KAFKA_VERSION),
    Artifact::new("org.apache.kafka", "kafka-shell", KAFKA_VERSION),
    Artifact::new("org.slf4j", "slf4j-reload4j", "1.7.36"),
];

const DUMP_LOG_SEGMENTS: &str = "kafka.tools.DumpLogSegments";

/// Kafka's jars, and a Java to run them.
#[derive(Debug, Clone)]
pub struct Kafka {
    java: String,
    class_path: String,
}

impl Kafka {
    /// Finds the jars, or fetches them with Maven, which is installed if it is missing and we may. `say` is told before.
    ///
    /// Blocks, for minutes if they have to be fetched.
    ///
    /// # Errors
    /// Java or Maven is missing, or Maven can't fetch; with what to install.
    pub fn find(say: &dyn Fn(&str)) -> Result<Self, String> {
        let java = find_java().ok_or(
            "there is no java in JAVA_HOME or on the PATH: install Java 17 (on Debian: apt-get install \
             openjdk-17-jre-headless)",
        )?;
        let jars = maven_jars(&format!("kafka-{KAFKA_VERSION}"), &ARTIFACTS, NoMaven::Install, say)?;
        Ok(Self { java, class_path: class_path(&jars) })
    }

    /// Has Kafka's `DumpLogSegments` read a segment or a snapshot with its metadata decoder. Blocks.
    ///
    /// # Errors
    /// It can't be run, ends with a failure, or prints what is not understood.
    pub fn dump(&self, file: &Path) -> Result<KafkaDump, String> {
        let run = Command::new(&self.java)
            .args(["-Xmx512m", "-cp", &self.class_path, DUMP_LOG_SEGMENTS, "--cluster-metadata-decoder", "--files"])
            .arg(file)
            .output()
            .map_err(|error| format!("{} can't be run: {error}", self.java))?;
        let [stdout, stderr] = [run.stdout, run.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        if !run.status.success() {
            return Err(format!("Kafka refuses {} ({}): {}", file.display(), run.status, stderr.trim()));
        }
        KafkaDump::parse(&stdout).map_err(|reason| format!("what Kafka says of {}: {reason}", file.display()))
    }
}
