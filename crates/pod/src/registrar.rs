//! The pod's entry in the registry: made at start where it is missing or says something else.

use std::sync::Arc;

use subrosa_protocol::{Address, B256, Domain, Registration, SecretKey, Signed, pod_id};

use crate::link::{Entry, Link, LinkError};
use crate::steps::{Step, Steps};

/// What the registry is to say of this pod.
#[derive(Clone, Debug)]
pub(crate) struct Registrar {
    pub(crate) registry: Address,
    pub(crate) payee: Address,
    pub(crate) salt: B256,
    pub(crate) endpoint: String,
    pub(crate) domain: Domain,
}

impl Registrar {
    /// The pod's id: it outlives a change of signer.
    pub(crate) fn id(&self, link: &dyn Link) -> B256 {
        pod_id(link.operator(), self.salt)
    }

    /// Registers the pod unless the registry says already what it should. `evidence` is the digest of
    /// the evidence at this time, an anchor that is not compared later.
    pub(crate) async fn register(
        &self,
        link: &Arc<dyn Link>,
        signer: &SecretKey,
        offer: B256,
        evidence: B256,
        steps: &Steps,
    ) -> Result<(), LinkError> {
        let id = self.id(&**link);
        let wanted = Entry {
            payee: self.payee,
            signer: signer.address(),
            offer,
            endpoint: self.endpoint.clone(),
            retired: false,
        };
        let entry = link.entry(id).await?;
        if entry.as_ref() == Some(&wanted) {
            return Ok(());
        }
        if entry.is_some_and(|entry| entry.retired) {
            let reason = "this pod was retired; give it another salt".to_owned();
            return Err(LinkError::Refused { reason });
        }
        let registration = Registration {
            registry: self.registry,
            id,
            operator: link.operator(),
            payee: self.payee,
            signer: signer.address(),
            offer,
            evidence,
        };
        let signed = Signed::sign(registration, &self.domain, signer);
        let mined = link.register(self.salt, self.endpoint.clone(), signed).await?;
        steps.done(Step::Registered);
        tracing::info!(%id, gas = mined.gas, "the pod was registered");
        Ok(())
    }
}
