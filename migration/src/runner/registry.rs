//! The broker side of the runner: who the brokers are, how they stand, and the registrar that writes it into the log.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use broker_registry::{
    Assessment, BrokerSessions, ClusterView, Presence, RegisterBy, RegistrySettings, Service, assess,
};
use futures::future::BoxFuture;
use metadata_core::brokers::BrokerPresence;
use metadata_core::error::{Error, Result};
use metadata_core::id::NodeId;
use metadata_core::image::MetadataImage;
use metadata_core::leadership::KraftLeadership;
use metadata_core::log::MetadataLog;
use tokio::sync::watch;

use super::options::MigrationOptions;
use super::watched::{Brokers, Voters, Watched};
use crate::driver::{Decision, LogFinding};
use crate::registrar::{Registrar, RegistrarInputs, RegistrarReport};

/// Who the brokers are, for the loop and for the orders. Clones are of the same.
#[derive(Clone)]
pub(super) struct Registry {
    /// Who is in `/brokers/ids`, or why that can't be told.
    pub(super) brokers: Arc<watch::Sender<Watched<Brokers>>>,
    /// What brokers ask for, as whoever embeds the migration feeds it in.
    pub(super) sessions: Arc<watch::Sender<BrokerSessions>>,
    /// Held while the sessions are changed.
    pub(super) changing: Arc<Mutex<()>>,
    settings: Arc<watch::Sender<RegistrySettings>>,
    /// The same as `brokers`, for the registrar.
    present: Arc<watch::Sender<Option<Brokers>>>,
    /// Replicas by broker id, as of the last look at ZooKeeper's assignments.
    assigned: Arc<watch::Sender<BTreeMap<NodeId, u64>>>,
    service: Service,
}

impl Registry {
    pub(super) fn new(options: &MigrationOptions) -> Self {
        let settings = RegistrySettings {
            cluster_id: options.cluster_id.clone(),
            metadata_version: options.metadata_version,
            migration_enabled: options.migration_enable,
            inter_broker_listener: options.inter_broker_listener.clone(),
            controllers: Default::default(),
            register_by: match options.service {
                Service::Served => RegisterBy::Request,
                Service::None | Service::NoneByOperatorsWord => RegisterBy::Presence,
            },
            operator: options.operator.clone(),
        };
        Self {
            brokers: Arc::new(watch::Sender::new(Watched::NotYet)),
            sessions: Arc::new(watch::Sender::new(BrokerSessions::new())),
            changing: Arc::default(),
            settings: Arc::new(watch::Sender::new(settings)),
            present: Arc::new(watch::Sender::new(None)),
            assigned: Arc::default(),
            service: options.service,
        }
    }

    /// Takes the present brokers, or that they can't be told. Returns whether that is news.
    pub(super) fn brokers_changed(&self, presence: &mut Presence, brokers: Result<Brokers>) -> bool {
        match brokers {
            Ok(now) => {
                let changes = presence.update(now.clone());
                for change in &changes {
                    tracing::info!(?change, "/brokers/ids");
                }
                self.present.send_replace(Some(now.clone()));
                let before = self.brokers.send_replace(Watched::Known(now));
                !changes.is_empty() || before.known().is_none()
            }
            Err(error) => {
                self.present.send_replace(None);
                Watched::lose(&self.brokers, &error, "/brokers/ids can't be watched now");
                false
            }
        }
    }

    /// Takes who votes, this controller among them.
    pub(super) fn voters_changed(&self, voters: &Voters, own: Option<NodeId>) {
        let controllers = voters.keys().copied().chain(own).collect();
        self.settings.send_if_modified(|settings| {
            let news = settings.controllers != controllers;
            settings.controllers = controllers;
            news
        });
    }

    /// Takes who has replicas.
    pub(super) fn assigned(&self, assigned: BTreeMap<NodeId, u64>) {
        self.assigned.send_replace(assigned);
    }

    /// Judges the brokers by everything that is known.
    pub(super) fn assess(
        &self,
        image: &MetadataImage,
        watched: Option<&BTreeMap<NodeId, BrokerPresence>>,
    ) -> Assessment {
        let (sessions, settings) = (self.sessions.borrow(), self.settings.borrow());
        let view = ClusterView { image, watched, sessions: &sessions, settings: &settings };
        assess(&view, &self.assigned.borrow(), self.service)
    }

    /// As [`Self::assess`], by who is there now; `None` while that can't be told.
    pub(super) fn assess_now(&self, image: &MetadataImage) -> Option<Assessment> {
        self.brokers.borrow().known().map(|brokers| self.assess(image, Some(brokers)))
    }

    fn inputs(&self) -> RegistrarInputs {
        RegistrarInputs {
            watched: self.present.subscribe(),
            sessions: self.sessions.subscribe(),
            settings: self.settings.subscribe(),
        }
    }

    /// Who is in `/brokers/ids`; `None` while that can't be told.
    pub(super) fn present(&self) -> watch::Receiver<Option<Brokers>> {
        self.present.subscribe()
    }

    /// What the rules know beside the brokers.
    pub(super) fn settings(&self) -> RegistrySettings {
        self.settings.borrow().clone()
    }
}

/// The registrar of a leadership, while it runs.
pub(super) struct Registering {
    leadership: KraftLeadership,
    work: Option<BoxFuture<'static, Error>>,
    report: watch::Receiver<RegistrarReport>,
}

impl Registering {
    fn start(log: Arc<dyn MetadataLog>, leadership: KraftLeadership, registry: &Registry) -> Self {
        let (registrar, report) = Registrar::new(log, leadership, registry.inputs());
        Self { leadership, work: Some(Box::pin(registrar.run())), report }
    }

    pub(super) fn report(&self) -> RegistrarReport {
        self.report.borrow().clone()
    }

    /// What is to run now: brokers are registered by a leader whose decision has to do with a migration, from the log's first
    /// records on. (Kafka registers them from then on, too.)
    pub(super) fn kept(
        running: Option<Self>,
        log: &Arc<dyn MetadataLog>,
        leadership: Option<KraftLeadership>,
        decision: Option<Decision>,
        registry: &Registry,
    ) -> Option<Self> {
        let served = registry.service == Service::Served;
        let leadership = leadership.filter(|_| concerns_brokers(decision, served))?;
        match running {
            Some(running) if running.leadership == leadership => Some(running),
            _ if registers_in(LogFinding::of(&log.image()), served) => {
                Some(Self::start(Arc::clone(log), leadership, registry))
            }
            _ => None,
        }
    }
}

/// Before the first record of a log nobody is registered. Whoever serves brokers serves them after the migration too, and
/// where there never was one.
fn registers_in(log: LogFinding, served: bool) -> bool {
    match log {
        LogFinding::Pre | LogFinding::Migration => true,
        LogFinding::Born | LogFinding::Post => served,
        LogFinding::Empty | LogFinding::PreFilled => false,
    }
}

fn concerns_brokers(decision: Option<Decision>, served: bool) -> bool {
    if served && matches!(decision, Some(Decision::Finalized | Decision::PlainKRaft)) {
        return true;
    }
    matches!(
        decision,
        Some(
            Decision::WaitForControllers
                | Decision::WaitForBrokers
                | Decision::DualWrite
                | Decision::DualWriteDisagreed
                | Decision::DualWriteToFinalize
        )
    )
}

/// Runs the registrar. Returns when its report changed, or it ended; never, while there is none.
pub(super) async fn registered(registering: &mut Option<Registering>) {
    let Some(Registering { work, report, .. }) = registering else { return std::future::pending().await };
    let ended = async {
        match work {
            Some(work) => work.await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        changed = report.changed() => {
            if changed.is_err() {
                // It has ended, and said why.
                std::future::pending::<()>().await;
            }
            return;
        }
        error = ended => {
            // Loss of leadership, or of the log: the loop hears of both from the log itself.
            tracing::debug!(error = crate::failure::chain(&error), "registering ended");
        }
    }
    *work = None;
}
