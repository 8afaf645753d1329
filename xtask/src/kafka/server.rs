//! Real Kafka servers: brokers in ZooKeeper mode or KRaft mode, and controllers.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use store_zk::testkit::Process;
use tokio::time::{Instant, sleep};

use super::install::{Kafka, tail};
use super::properties::{Properties, write_private};
use super::release::Program;

/// How long a server may take to start, or to stop when it is asked to. A broker that waits for its controller takes
/// longest.
const START_MAX: Duration = Duration::from_secs(120);
const STOP_MAX: Duration = Duration::from_secs(90);

/// Pause between two looks.
const POLL: Duration = Duration::from_millis(50);

/// What a server logs when it serves: a broker in ZooKeeper mode, and one in KRaft mode or a controller.
const STARTED: [&str; 2] =
    ["started (kafka.server.KafkaServer)", "Kafka Server started (kafka.server.KafkaRaftServer)"];

/// Lines of the log that an error shows.
const TAIL_LINES: usize = 25;

/// How to start a server.
#[derive(Debug, Clone)]
pub struct ServerSpec {
    /// The release.
    pub kafka: Kafka,
    /// Names its files: `NAME.properties` and `NAME.log`.
    pub name: String,
    /// Where these files are put. It must exist.
    pub folder: PathBuf,
    /// Its settings.
    pub properties: Properties,
    /// Java's largest heap, as `256m`.
    pub heap: String,
    /// More options for Java. Those of a quick start come before them.
    pub java: Vec<String>,
}

/// A running server. Dropping it kills it (SIGKILL); its files stay.
pub struct KafkaServer {
    spec: ServerSpec,
    process: Option<Process>,
    /// Where the log of the present run begins.
    log_start: u64,
}

impl ServerSpec {
    /// A server with a small heap.
    pub fn new(kafka: &Kafka, name: impl Into<String>, folder: &Path, properties: Properties) -> Self {
        let heap = "256m".to_owned();
        let (name, folder) = (name.into(), folder.to_owned());
        Self { kafka: kafka.clone(), name, folder, properties, heap, java: Vec::new() }
    }

    fn file(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}.{ending}", self.name))
    }
}

impl KafkaServer {
    /// Starts a server and waits until it says that it has started.
    ///
    /// # Errors
    /// It can't be run, ended, or did not start within two minutes: the end of its log is in the message.
    pub async fn start(spec: ServerSpec) -> Result<Self, String> {
        let mut server = Self::launch(spec)?;
        server.started().await.map(|()| server)
    }

    /// Starts a server without waiting for anything.
    ///
    /// # Errors
    /// It can't be run, or its files can't be written.
    pub fn launch(spec: ServerSpec) -> Result<Self, String> {
        let mut server = Self { spec, process: None, log_start: 0 };
        server.run()?;
        Ok(server)
    }

    fn run(&mut self) -> Result<(), String> {
        let spec = &self.spec;
        let in_folder = |error: io::Error| format!("{}: {error}", spec.folder.display());
        let (config, logging, log) = (spec.file("properties"), spec.file("log4j"), spec.file("log"));
        spec.properties.write(&config).map_err(in_folder)?;
        write_private(&logging, LOGGING).map_err(in_folder)?;
        let output = OpenOptions::new().create(true).append(true).mode(0o600).open(&log).map_err(in_folder)?;
        let errors = output.try_clone().map_err(in_folder)?;
        self.log_start = output.metadata().map_err(in_folder)?.len();
        let heap = format!("-Xmx{}", spec.heap);
        let logging = format!("-Dlog4j.configuration=file:{}", logging.display());
        let options: Vec<&str> = [&heap, &logging].into_iter().chain(&spec.java).map(String::as_str).collect();
        let mut arguments = spec.kafka.arguments(Program::Server, &options)?;
        arguments.push(config.display().to_string());
        let process = Process::spawn(spec.kafka.java(), &arguments, |command| {
            command.current_dir(&spec.folder).stdin(std::process::Stdio::null()).stdout(output).stderr(errors);
        });
        self.process = Some(process.map_err(|error| format!("{} can't be run: {error}", spec.kafka.java()))?);
        Ok(())
    }

    /// Waits until it has started.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub async fn started(&mut self) -> Result<(), String> {
        self.wait_for(|log| STARTED.iter().any(|line| log.contains(line)), START_MAX, "say that it has started").await
    }

    /// Waits until its log since the last start is as it should be. `what` says so: "the server did not ...".
    ///
    /// # Errors
    /// It ended, or the time is over: the end of its log is in the message.
    pub async fn wait_for(
        &mut self,
        reached: impl Fn(&str) -> bool,
        limit: Duration,
        what: &str,
    ) -> Result<(), String> {
        let (start, deadline) = (Instant::now(), Instant::now() + limit);
        loop {
            // Looked at before the log, so that the last words of one that ended are read.
            let ended = self.ended();
            let log = self.log();
            if reached(&log) {
                return Ok(());
            }
            let name = format!("Kafka {} ({})", self.spec.kafka.release(), self.spec.name);
            if let Some(how) = ended {
                return Err(format!("{name} ended ({how}) and did not {what}:\n{}", tail(&log, TAIL_LINES)));
            }
            if Instant::now() > deadline {
                let limit = limit.as_secs();
                return Err(format!("{name} did not {what} within {limit} s:\n{}", tail(&log, TAIL_LINES)));
            }
            // A log may be long, and whoever waits long must not keep the machine busy reading it.
            sleep(POLL.max(start.elapsed() / 20)).await;
        }
    }

    /// What it logged since it was last started.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.log_file()).unwrap_or_default();
        let start = usize::try_from(self.log_start).unwrap_or(usize::MAX);
        String::from_utf8_lossy(bytes.get(start..).unwrap_or_default()).into_owned()
    }

    /// The file that it logs to, over all its runs.
    pub fn log_file(&self) -> PathBuf {
        self.spec.file("log")
    }

    /// How it was started.
    pub fn spec(&self) -> &ServerSpec {
        &self.spec
    }

    /// Its settings, for the next start.
    pub fn properties_mut(&mut self) -> &mut Properties {
        &mut self.spec.properties
    }

    /// The release that the next start is of.
    pub fn upgrade(&mut self, kafka: &Kafka) {
        self.spec.kafka = kafka.clone();
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    fn ended(&self) -> Option<String> {
        match &self.process {
            Some(process) => process.ended().map(|status| status.to_string()),
            None => Some("it was stopped".to_owned()),
        }
    }

    /// Asks it to stop (SIGTERM) and waits until it is gone.
    ///
    /// # Errors
    /// It was still there after 90 s, and was killed; or it can't be asked.
    pub async fn stop(&mut self) -> Result<(), String> {
        let Some(process) = self.process.take() else { return Ok(()) };
        if process.ended().is_some() {
            return Ok(());
        }
        process.signal("TERM").map_err(|error| format!("{}: {error}", self.spec.name))?;
        let deadline = Instant::now() + STOP_MAX;
        while process.ended().is_none() {
            if Instant::now() > deadline {
                let limit = STOP_MAX.as_secs();
                return Err(format!("{} did not stop within {limit} s and was killed", self.spec.name));
            }
            sleep(POLL).await;
        }
        Ok(())
    }

    /// Kills it (SIGKILL).
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Starts it again with its present settings, killing it first if it runs.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub async fn restart(&mut self) -> Result<(), String> {
        self.kill();
        self.run()?;
        self.started().await
    }
}

/// Java's logger, to the standard output.
const LOGGING: &str = "log4j.rootLogger=INFO, out
log4j.appender.out=org.apache.log4j.ConsoleAppender
log4j.appender.out.layout=org.apache.log4j.PatternLayout
log4j.appender.out.layout.ConversionPattern=[%d] %p %m (%c)%n
log4j.logger.org.apache.zookeeper=WARN
";
