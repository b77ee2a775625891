//! Every pod that is known: who may be asked, and who may not and why.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

use subrosa_protocol::B256;
use subrosa_verifier::Report;

use crate::pod::{Past, Pod};
use crate::view::{PodModelView, PodView, RefusedPod};
use crate::visit::{Listed, Refused};

/// What came of the last visit to a pod.
#[derive(Clone)]
pub(crate) enum Standing {
    Accepted(Arc<Pod>),
    Refused(Box<Turned>),
}

/// A pod that may not be asked.
#[derive(Clone)]
pub(crate) struct Turned {
    pub(crate) listed: Listed,
    pub(crate) refused: Refused,
    pub(crate) past: Past,
}

/// The pods by their id; replaced as a whole by each refresh.
#[derive(Default)]
pub(crate) struct Directory {
    pods: RwLock<BTreeMap<B256, Standing>>,
}

impl Directory {
    /// Puts what came of a visit in the place of the one before.
    pub(crate) fn set(&self, id: B256, standing: Standing) {
        self.write().insert(id, standing);
    }

    /// Forgets pods that are no longer listed.
    pub(crate) fn keep(&self, listed: &[Listed]) {
        self.write().retain(|id, _| listed.iter().any(|pod| pod.id == *id));
    }

    pub(crate) fn accepted(&self) -> Vec<Arc<Pod>> {
        let pick = |standing: &Standing| match standing {
            Standing::Accepted(pod) => Some(Arc::clone(pod)),
            Standing::Refused(_) => None,
        };
        self.read().values().filter_map(pick).collect()
    }

    /// The pod of this id, as it was attested last; none where it may not be asked.
    pub(crate) fn accepted_pod(&self, id: &B256) -> Option<Arc<Pod>> {
        match self.read().get(id) {
            Some(Standing::Accepted(pod)) => Some(Arc::clone(pod)),
            Some(Standing::Refused(_)) | None => None,
        }
    }

    pub(crate) fn past(&self, id: &B256) -> Past {
        match self.read().get(id) {
            Some(Standing::Accepted(pod)) => pod.past(),
            Some(Standing::Refused(turned)) => turned.past,
            None => Past::default(),
        }
    }

    pub(crate) fn refused(&self) -> Vec<RefusedPod> {
        let pick = |(id, standing): (&B256, &Standing)| match standing {
            Standing::Accepted(_) => None,
            Standing::Refused(turned) => Some(RefusedPod {
                id: *id,
                endpoint: turned.listed.endpoint.clone(),
                failed_check: turned.refused.check.clone(),
                reason: turned.refused.reason.clone(),
            }),
        };
        self.read().iter().filter_map(pick).collect()
    }

    pub(crate) fn views(&self, simulated: bool) -> Vec<PodView> {
        self.read().iter().map(|(id, standing)| view(*id, standing, simulated)).collect()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<B256, Standing>> {
        self.pods.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, BTreeMap<B256, Standing>> {
        self.pods.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn view(id: B256, standing: &Standing, simulated: bool) -> PodView {
    match standing {
        Standing::Accepted(pod) => accepted(pod),
        Standing::Refused(turned) => turned_away(id, turned, simulated),
    }
}

fn turned_away(id: B256, turned: &Turned, simulated: bool) -> PodView {
    let Turned { listed, refused, past } = turned;
    PodView {
        id,
        endpoint: listed.endpoint.clone(),
        accepted: false,
        simulated,
        sentence: refused.report.as_ref().map(Report::sentence),
        failed_check: Some(refused.check.clone()),
        reason: Some(refused.reason.clone()),
        measurement: None,
        signer: listed.registered.map(|(signer, _)| signer),
        models: Vec::new(),
        latency_ms: past.latency_ms,
        failures: past.failures,
        report: refused.report.clone(),
    }
}

fn accepted(pod: &Pod) -> PodView {
    let model = |offered: &subrosa_protocol::ModelOffer| PodModelView {
        name: pod.model_name(&offered.digest).unwrap_or_default().to_owned(),
        digest: offered.digest,
        input_price: offered.price.input,
        output_price: offered.price.output,
        context_tokens: offered.context_tokens,
    };
    let report: &Report = pod.attested.report();
    PodView {
        id: pod.id,
        endpoint: pod.endpoint.clone(),
        accepted: true,
        simulated: pod.attested.is_simulated(),
        sentence: Some(report.sentence()),
        failed_check: None,
        reason: None,
        measurement: Some(pod.attested.measurement()),
        signer: Some(pod.attested.signer()),
        models: pod.offer.models.iter().map(model).collect(),
        latency_ms: pod.past().latency_ms,
        failures: pod.past().failures,
        report: Some(report.clone()),
    }
}
