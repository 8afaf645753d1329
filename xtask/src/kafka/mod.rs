//! Apache Kafka itself, real releases from Maven: the judge of what we write, and the author of what we read.
//!
//! - [`Release`] and [`Program`]: which releases, and where each keeps its programs;
//! - [`Kafka`] finds the jars of a release and runs its tools;
//! - [`KafkaServer`] is a broker or a controller that runs;
//! - [`KafkaDump`] is what `DumpLogSegments` printed, read;
//! - [`agree`] compares it with what our `dump-log` says of the same file;
//! - [`StandIn`] registers with a controller in a broker's place;

pub mod agree;
mod dump;
mod install;
mod properties;
mod release;
mod server;
mod stand_in;
mod wire;

pub use self::dump::{FilePlace, KafkaBatch, KafkaDump, KafkaRecord, RecordText};
pub use self::install::Kafka;
pub(crate) use self::install::tail;
pub use self::properties::Properties;
pub use self::release::{Program, Release};
pub use self::server::{KafkaServer, ServerSpec};
pub use self::stand_in::StandIn;
