//! `cargo xtask change`: changes of the metadata, through the running controller.

mod voter;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args as ClapArgs, Subcommand};

use self::voter::Voter;
use super::told::Told;
use crate::change::{
    Acl, Change, ITERATIONS_MAX, ITERATIONS_MIN, Mechanism, Operation, PatternType, Permission, QuotaOwner, Resource,
    ResourceType, ScramKeys, Secret,
};
use crate::cli::{Failure, Interrupt, Outcome, Shell, VerbResult};
use crate::control::{ChangesMade, Request, ask};
use crate::controller::{Seal, fresh_bytes, who_holds};
use crate::fleet::leader_dir;

/// A file of a password or of configs is not longer, in bytes.
const FILE_BYTES_MAX: u64 = 512 << 10;
/// Bytes of a fresh salt.
const SALT_BYTES: usize = 24;

#[derive(ClapArgs)]
pub(crate) struct Args {
    /// The directory of the running controller
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,

    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Create, delete, grow or move topics
    #[command(subcommand)]
    Topic(Topic),
    /// Set or delete configs
    #[command(subcommand)]
    Config(Config),
    /// Set or delete client quotas
    #[command(subcommand)]
    Quota(Quota),
    /// Add or remove access control entries
    #[command(subcommand)]
    Acl(AclChange),
    /// Set or delete SCRAM credentials
    #[command(subcommand)]
    Scram(Scram),
    /// Add controllers to the quorum, or remove them, while it runs
    #[command(subcommand)]
    Voter(Voter),
    /// Make random changes of every kind, many in flight, and say how fast they were taken
    Random {
        /// How many
        #[arg(long, default_value_t = 100, value_name = "N")]
        count: u64,
        /// Decides them, together with the metadata that is there
        #[arg(long, default_value_t = 1, value_name = "N")]
        seed: u64,
    },
}

#[derive(Subcommand)]
enum Topic {
    /// Create a topic, its replicas placed round robin
    Create {
        /// The topic's name
        name: String,
        /// How many partitions
        #[arg(long, default_value_t = 1, value_name = "N")]
        partitions: u32,
        /// Replicas of each partition
        #[arg(long, default_value_t = 1, value_name = "N")]
        replication_factor: u32,
        /// A config of the topic; may be repeated
        #[arg(long, value_name = "KEY=VALUE")]
        config: Vec<String>,
    },
    /// Delete a topic
    Delete {
        /// The topic's name
        name: String,
    },
    /// Give a topic more partitions
    AddPartitions {
        /// The topic's name
        name: String,
        /// How many it has then
        #[arg(long, value_name = "N")]
        total: u32,
    },
    /// Move a partition to other brokers
    Reassign {
        /// The topic's name
        name: String,
        /// The partition
        partition: i32,
        /// The brokers that shall hold it, the preferred leader first
        #[arg(long, value_name = "ID,..", value_delimiter = ',', required = true)]
        replicas: Vec<i32>,
    },
    /// Make the preferred leader of a partition its leader
    Elect {
        /// The topic's name
        name: String,
        /// The partition
        partition: i32,
    },
}

#[derive(Subcommand)]
enum Config {
    /// Configs of a topic
    Topic {
        /// The topic's name
        name: String,
        #[command(subcommand)]
        what: ConfigChange,
    },
    /// Dynamic configs of one broker
    Broker {
        /// The broker's id
        id: i32,
        #[command(subcommand)]
        what: ConfigChange,
    },
    /// Dynamic configs that hold for all brokers
    Default {
        #[command(subcommand)]
        what: ConfigChange,
    },
}

#[derive(Subcommand)]
enum ConfigChange {
    /// Set configs
    Set {
        /// What to set. The command line is seen by others: passwords belong into a file
        #[arg(value_name = "KEY=VALUE", required_unless_present = "from_file")]
        values: Vec<String>,
        /// Also set what is in this properties file; - reads stdin
        #[arg(long, value_name = "FILE")]
        from_file: Option<PathBuf>,
    },
    /// Delete configs
    Delete {
        /// What to delete
        #[arg(value_name = "KEY", required = true)]
        keys: Vec<String>,
    },
}

#[derive(Subcommand)]
enum Quota {
    /// Set quotas
    Set {
        #[command(flatten)]
        owner: OwnerArgs,
        /// What to set
        #[arg(value_name = "KEY=NUMBER", required = true)]
        values: Vec<String>,
    },
    /// Delete quotas
    Delete {
        #[command(flatten)]
        owner: OwnerArgs,
        /// What to delete
        #[arg(value_name = "KEY", required = true)]
        keys: Vec<String>,
    },
}

#[derive(ClapArgs)]
struct OwnerArgs {
    /// A user
    #[arg(long, value_name = "NAME", conflicts_with = "user_default")]
    user: Option<String>,
    /// Every user without quotas of his own
    #[arg(long)]
    user_default: bool,
    /// A client id
    #[arg(long, value_name = "ID", conflicts_with = "client_id_default")]
    client_id: Option<String>,
    /// Every client id without quotas of its own
    #[arg(long)]
    client_id_default: bool,
    /// An IP address
    #[arg(long, value_name = "ADDRESS", conflicts_with = "ip_default")]
    ip: Option<String>,
    /// Every address without quotas of its own
    #[arg(long)]
    ip_default: bool,
}

impl OwnerArgs {
    fn owner(self) -> QuotaOwner {
        let part = |name: Option<String>, default: bool| if default { Some(None) } else { name.map(Some) };
        QuotaOwner {
            user: part(self.user, self.user_default),
            client_id: part(self.client_id, self.client_id_default),
            ip: part(self.ip, self.ip_default),
        }
    }
}

#[derive(Subcommand)]
enum AclChange {
    /// Add an entry
    Add(AclArgs),
    /// Remove the entries that equal this one
    Remove(AclArgs),
}

#[derive(ClapArgs)]
struct AclArgs {
    /// Whom it is about
    #[arg(long, value_name = "TYPE:NAME")]
    principal: String,
    /// What is allowed or denied
    #[arg(long, ignore_case = true)]
    operation: Operation,
    /// On what; * as name stands for all of the type
    #[arg(long, value_name = "TYPE:NAME", value_parser = resource)]
    resource: (ResourceType, String),
    /// The name is what names begin with
    #[arg(long)]
    prefixed: bool,
    /// From which host
    #[arg(long, default_value = "*", value_name = "HOST")]
    host: String,
    /// Deny it instead of allowing it
    #[arg(long)]
    deny: bool,
}

impl AclArgs {
    fn acl(self) -> Acl {
        let (resource_type, resource_name) = self.resource;
        Acl {
            resource_type,
            resource_name,
            pattern_type: if self.prefixed { PatternType::Prefixed } else { PatternType::Literal },
            principal: self.principal,
            host: self.host,
            operation: self.operation,
            permission: if self.deny { Permission::Deny } else { Permission::Allow },
        }
    }
}

#[derive(Subcommand)]
enum Scram {
    /// Set a user's credential from a password. Only keys derived from it leave this process
    Set {
        /// The user
        user: String,
        /// How the keys are derived
        #[arg(long, default_value = "SCRAM-SHA-512", ignore_case = true)]
        mechanism: Mechanism,
        /// Rounds of the derivation
        #[arg(long, default_value_t = ITERATIONS_MIN, value_name = "N",
              value_parser = clap::value_parser!(u32).range(i64::from(ITERATIONS_MIN)..=i64::from(ITERATIONS_MAX)))]
        iterations: u32,
        /// The file with the password, its last line end left out; - reads stdin
        #[arg(long, value_name = "FILE")]
        password_file: PathBuf,
    },
    /// Delete a user's credential
    Delete {
        /// The user
        user: String,
        /// Of which mechanism
        #[arg(long, default_value = "SCRAM-SHA-512", ignore_case = true)]
        mechanism: Mechanism,
    },
}

/// The pairs that were typed as `KEY=VALUE`. They are split here and not by clap, which quotes what it refuses: one that is
/// wrong may be a password all the same, so an error tells only which one it is.
fn pairs(typed: Vec<String>, form: &str) -> Result<Vec<(String, String)>, Failure> {
    let pair = |(number, text): (usize, String)| match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Failure::usage(format!("number {} of what is to be set is no {form}", number + 1))
            .why("it has no = with a key before it; it is not shown here, since it may be a password")
            .next(format!("write each as {form}, in quotes if it has spaces"))),
    };
    typed.into_iter().enumerate().map(pair).collect()
}

/// `TYPE:NAME`.
fn resource(text: &str) -> Result<(ResourceType, String), String> {
    let (kind, name) = text.split_once(':').ok_or("write it as TYPE:NAME, topic:orders for instance")?;
    let kind = <ResourceType as clap::ValueEnum>::from_str(kind, true).map_err(|_| {
        format!("{kind:?} is no type: use topic, group, cluster, transactional-id, delegation-token or user")
    })?;
    Ok((kind, name.to_owned()))
}

pub(crate) async fn run(args: Args, shell: &Shell) -> VerbResult {
    let data_dir = args.data_dir.ok_or_else(|| {
        Failure::usage("no controller is named").next("add --data-dir DIR, the directory of the running `migrate`")
    })?;
    let data_dir = leader_dir(&data_dir).await?;
    let request = args.what.request()?;
    if matches!(request, Request::AddVoter { .. } | Request::RemoveVoter { .. }) {
        return voter::run(&data_dir, &request).await;
    }
    let interrupt = Interrupt::listen().map_err(|error| Failure::failed("can't listen for Ctrl-C").because(&error))?;
    let mut told = Told::new(shell, "change", "changes");
    let made = tokio::select! {
        made = ask::<ChangesMade>(&data_dir, &request, |progress| told.hear(&progress)) => made?,
        () = interrupt.requested() => return Err(interrupted(&request, told.done())),
    };
    drop(told);
    Ok(report(&made.ok_or_else(|| nobody(&data_dir))?))
}

/// Why no controller of this directory makes a change.
fn nobody(data_dir: &Path) -> Failure {
    let nobody = || {
        Failure::failed(format!("no controller holds {}", data_dir.display()))
            .why("nobody listens at its control socket, and only a running controller can make changes")
            .next("start `migrate` with this --data-dir, and try again")
    };
    who_holds(data_dir).or_else(|| Seal::check(data_dir, false).err()).unwrap_or_else(nobody)
}

/// What is known when the controller's answer is not waited for. `done` is how many it has told of.
fn interrupted(request: &Request, done: u64) -> Failure {
    let failure = Failure::failed("interrupted");
    match request {
        Request::Random { count, seed } => failure
            .why(format!("the controller has told of {done} of {count} changes; what was on its way may be made, too"))
            .next(format!(
                "to make the rest: change random --count {} --seed {seed}; `status` says where the log ends",
                count.saturating_sub(done)
            ))
            .field("made_at_least", done),
        _ => failure
            .why("it is not known whether the change was made")
            .next("look whether it is there before you try again: `dump-log` shows the end of the log"),
    }
}

fn report(made: &ChangesMade) -> Outcome {
    let rate = if made.append_seconds > 0.0 { made.changes as f64 / made.append_seconds } else { 0.0 };
    let outcome = match &made.summary {
        Some(summary) => Outcome::done().say(format!("{summary} (offset {})", made.last_offset)),
        None => Outcome::done().say(format!(
            "made {} changes, {} records, {:.1} s: {rate:.0} changes/s; the log ends behind offset {}",
            made.changes, made.records, made.append_seconds, made.last_offset
        )),
    };
    let outcome = super::fields_of(made).into_iter().fold(outcome, |outcome, (key, value)| outcome.field(&key, value));
    outcome.field("changes_per_second", rate)
}

impl What {
    fn request(self) -> Result<Request, Failure> {
        let change = match self {
            Self::Topic(topic) => topic.change()?,
            Self::Config(config) => config.change()?,
            Self::Quota(quota) => quota.change()?,
            Self::Acl(AclChange::Add(acl)) => Change::AddAcl(acl.acl()),
            Self::Acl(AclChange::Remove(acl)) => Change::RemoveAcl(acl.acl()),
            Self::Scram(scram) => scram.change()?,
            Self::Voter(voter) => return Ok(voter.request()),
            Self::Random { count, seed } => return Ok(Request::Random { count, seed }),
        };
        Ok(Request::Change { change })
    }
}

impl Topic {
    fn change(self) -> Result<Change, Failure> {
        Ok(match self {
            Self::Create { name, partitions, replication_factor, config } => {
                Change::CreateTopic { name, partitions, replication_factor, configs: secrets(config)? }
            }
            Self::Delete { name } => Change::DeleteTopic { name },
            Self::AddPartitions { name, total } => Change::AddPartitions { name, total },
            Self::Reassign { name, partition, replicas } => Change::Reassign { name, partition, replicas },
            Self::Elect { name, partition } => Change::ElectPreferredLeader { name, partition },
        })
    }
}

impl Config {
    fn change(self) -> Result<Change, Failure> {
        let (resource, what) = match self {
            Self::Topic { name, what } => (Resource::Topic(name), what),
            Self::Broker { id, what } => (Resource::Broker(id), what),
            Self::Default { what } => (Resource::AllBrokers, what),
        };
        Ok(match what {
            ConfigChange::Set { values, from_file } => {
                let mut all = match from_file {
                    Some(file) => properties(&file)?,
                    None => BTreeMap::new(),
                };
                all.extend(secrets(values)?);
                Change::SetConfigs { resource, values: all }
            }
            ConfigChange::Delete { keys } => Change::DeleteConfigs { resource, keys: keys.into_iter().collect() },
        })
    }
}

impl Quota {
    fn change(self) -> Result<Change, Failure> {
        Ok(match self {
            Self::Set { owner, values } => {
                let number =
                    |(key, value): (String, String)| match value.parse::<f64>() {
                        Ok(number) => Ok((key, number)),
                        Err(_) => Err(Failure::usage(format!("what {key} is to be is no number"))
                            .next(format!("write {key}=NUMBER"))),
                    };
                let values = pairs(values, "KEY=NUMBER")?.into_iter().map(number).collect::<Result<_, _>>()?;
                Change::SetQuotas { owner: owner.owner(), values }
            }
            Self::Delete { owner, keys } => {
                Change::DeleteQuotas { owner: owner.owner(), keys: keys.into_iter().collect::<BTreeSet<_>>() }
            }
        })
    }
}

impl Scram {
    fn change(self) -> Result<Change, Failure> {
        Ok(match self {
            Self::Set { user, mechanism, iterations, password_file } => {
                let text = read(&password_file)?;
                let password = text.strip_suffix('\n').unwrap_or(&text);
                let password = password.strip_suffix('\r').unwrap_or(password);
                if password.is_empty() {
                    return Err(Failure::failed(format!("{} holds no password", name_of(&password_file)))
                        .next("write the password into it, on one line"));
                }
                let mut salt = vec![0; SALT_BYTES];
                fresh_bytes(&mut salt)?;
                Change::SetScram { user, mechanism, keys: ScramKeys::derive(mechanism, password, salt, iterations) }
            }
            Self::Delete { user, mechanism } => Change::DeleteScram { user, mechanism },
        })
    }
}

fn secrets(typed: Vec<String>) -> Result<BTreeMap<String, Secret>, Failure> {
    Ok(pairs(typed, "KEY=VALUE")?.into_iter().map(|(key, value)| (key, Secret::new(value))).collect())
}

fn properties(file: &Path) -> Result<BTreeMap<String, Secret>, Failure> {
    let text = read(file)?;
    let properties = store_zk::client::config::Properties::parse(&text).map_err(|error| {
        Failure::failed(format!("{} can't be read as properties", name_of(file)))
            .because(&error)
            .next("write KEY=VALUE on each line")
    })?;
    let value = |key: &str| Secret::new(properties.get(key).unwrap_or_default());
    Ok(properties.keys().map(|key| (key.to_owned(), value(key))).collect())
}

fn name_of(file: &Path) -> String {
    if file == Path::new("-") { "stdin".to_owned() } else { file.display().to_string() }
}

fn read(file: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let reading = if file == Path::new("-") {
        std::io::stdin().lock().take(FILE_BYTES_MAX + 1).read_to_string(&mut text)
    } else {
        fs::File::open(file).and_then(|opened| opened.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
    };
    let read = reading.map_err(|error| {
        Failure::failed(format!("{} can't be read", name_of(file))).because(&error).next("check the path")
    })?;
    if read as u64 > FILE_BYTES_MAX {
        return Err(Failure::failed(format!("{} is too long", name_of(file))).next("name the right file"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Command::try_parse_from(std::iter::once("change").chain(line.split(' '))).map(|command| command.args)
    }

    fn change(line: &str) -> Change {
        match parse(line).unwrap().what.request().unwrap() {
            Request::Change { change } => change,
            other => panic!("{other:?}"),
        }
    }

    fn map<V>(values: impl IntoIterator<Item = (&'static str, V)>) -> BTreeMap<String, V> {
        values.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    #[test]
    fn every_kind_of_change_can_be_typed() {
        let values = || map([("a", Secret::new("1=2")), ("b", Secret::new(""))]);
        let alice = QuotaOwner { user: Some(Some("alice".into())), client_id: Some(None), ip: None };
        let acl = Acl {
            resource_type: ResourceType::TransactionalId,
            resource_name: "a:b".into(),
            pattern_type: PatternType::Prefixed,
            principal: "User:alice".into(),
            host: "*".into(),
            operation: Operation::DescribeConfigs,
            permission: Permission::Deny,
        };
        let entry =
            "--principal User:alice --operation describe-configs --resource transactional-id:a:b --prefixed --deny";
        for (line, expected) in [
            (
                "topic create t --partitions 3 --replication-factor 2 --config a=1=2 --config b=",
                Change::CreateTopic { name: "t".into(), partitions: 3, replication_factor: 2, configs: values() },
            ),
            ("topic delete t", Change::DeleteTopic { name: "t".into() }),
            ("topic add-partitions t --total 7", Change::AddPartitions { name: "t".into(), total: 7 }),
            (
                "topic reassign t 2 --replicas 3,1",
                Change::Reassign { name: "t".into(), partition: 2, replicas: vec![3, 1] },
            ),
            ("topic elect t 2", Change::ElectPreferredLeader { name: "t".into(), partition: 2 }),
            (
                "config topic t set a=1=2 b=",
                Change::SetConfigs { resource: Resource::Topic("t".into()), values: values() },
            ),
            ("config broker 3 set a=1=2 b=", Change::SetConfigs { resource: Resource::Broker(3), values: values() }),
            (
                "config default delete a b",
                Change::DeleteConfigs { resource: Resource::AllBrokers, keys: ["a".to_owned(), "b".to_owned()].into() },
            ),
            (
                "quota set --user alice --client-id-default request_percentage=12.5",
                Change::SetQuotas { owner: alice.clone(), values: map([("request_percentage", 12.5)]) },
            ),
            (
                "quota delete --user alice --client-id-default x",
                Change::DeleteQuotas { owner: alice, keys: ["x".to_owned()].into() },
            ),
            (&format!("acl add {entry}"), Change::AddAcl(acl.clone())),
            (&format!("acl remove {entry}"), Change::RemoveAcl(acl)),
            (
                "scram delete alice --mechanism scram-sha-256",
                Change::DeleteScram { user: "alice".into(), mechanism: Mechanism::Sha256 },
            ),
        ] {
            assert_eq!(change(line), expected, "{line}");
        }
        let random = parse("random --count 7 --seed 9").unwrap().what.request().unwrap();
        assert_eq!(random, Request::Random { count: 7, seed: 9 });
    }

    #[test]
    fn what_makes_no_sense_is_wrong_usage() {
        for line in [
            "topic create",
            "topic reassign t 0",
            "config default set",
            "quota set --user a --user-default k=1",
            "acl add --principal User:a --operation read --resource orders",
            "acl add --principal User:a --operation fly --resource topic:orders",
            "scram set alice",
            "scram set alice --password-file x --iterations 100",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        for line in [
            "topic create t --config a",
            "config default set =x",
            "config topic t set a=b c",
            "quota set --user a k",
            "quota set --user a k=much",
        ] {
            let failure = parse(line).unwrap().what.request().unwrap_err();
            assert_eq!(failure.exit(), crate::cli::Exit::Usage, "{line}");
        }
    }

    #[test]
    fn who_interrupts_random_changes_learns_how_many_are_left() {
        let lines = interrupted(&Request::Random { count: 100, seed: 7 }, 60).lines().join("\n");
        assert!(lines.contains("60 of 100 changes") && lines.contains("--count 40 --seed 7"), "{lines}");
        let one = change("topic delete t");
        assert!(interrupted(&Request::Change { change: one }, 0).lines().join("\n").contains("not known whether"));
    }

    #[test]
    fn secrets_come_from_files_and_stay_out_of_sight() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        fs::write(&file, "ssl.key.password=hunter2\n# comment\nother = x\n").unwrap();
        let set = change(&format!("config default set a=1 --from-file {}", file.display()));
        let Change::SetConfigs { values, .. } = &set else { panic!() };
        assert_eq!(values["ssl.key.password"].expose(), "hunter2");
        assert_eq!(values.len(), 3);
        assert!(!format!("{set:?}").contains("hunter2"));

        fs::write(&file, "pencil\n").unwrap();
        let set =
            |file: &Path| parse(&format!("scram set alice --password-file {}", file.display())).unwrap().what.request();
        let Request::Change { change: Change::SetScram { keys, .. } } = set(&file).unwrap() else { panic!() };
        let Request::Change { change: Change::SetScram { keys: again, .. } } = set(&file).unwrap() else { panic!() };
        assert_ne!(keys, again, "each has a salt of its own");
        fs::write(&file, "\n").unwrap();
        assert!(set(&file).unwrap_err().to_string().contains("holds no password"));
        assert!(set(&folder.path().join("absent")).unwrap_err().to_string().contains("absent"));
    }
}
