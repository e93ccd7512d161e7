//! The custom resource types of group `foresail.dev`, and nothing else.
//!
//! What comes in: nothing. What goes out: types that serialize as Kubernetes sees them, and the definitions
//! (`crds/*.yaml`) made from them. What this crate refuses to know: clients, clocks, what the fields do.
//!
//! Doc comments on fields are what `kubectl explain` prints, so they speak to the person who writes the YAML.
//!
//! ```
//! let policy: api::v1alpha1::AutoscalePolicy = serde_saphyr::from_str("
//! apiVersion: foresail.dev/v1alpha1
//! kind: AutoscalePolicy
//! metadata: {name: web}
//! spec:
//!   scaleTargetRef: {name: web}
//!   maxReplicas: 20
//!   metrics:
//!   - name: rps
//!     prometheus: {query: 'sum(rate(http_requests_total{app=\"web\"}[2m]))'}
//!     target: 200
//! ")?;
//! assert_eq!(policy.spec.min_replicas, 1);
//! assert_eq!(policy.spec.scale_target_ref.kind, "Deployment");
//! # Ok::<(), serde_saphyr::Error>(())
//! ```

// Doc comments here are what `kubectl explain` prints: plain addresses, and brackets as people write them.
#![allow(rustdoc::bare_urls, rustdoc::broken_intra_doc_links)]

// The derives name paths of the facade crate `kube`, which brings the client along. This crate depends on the parts
// that have none, and stands in for the facade.
extern crate self as kube;
pub(crate) mod core {
    pub(crate) use kube_core::*;
}
pub(crate) use kube_core::CustomResourceExt;
pub(crate) use kube_derive::{CustomResource, KubeSchema};

pub mod condition;
pub mod definitions;
pub mod units;
pub mod v1alpha1;

/// The API group of every kind here.
pub const GROUP: &str = "foresail.dev";
