//! A Prometheus of the policy's own: its address, and who signs in how.

use api::v1alpha1::PrometheusServer;

use super::finding::Findings;

pub(super) fn prometheus(server: &PrometheusServer, findings: &mut Findings) {
    let address = server.address.trim();
    if !(address.starts_with("http://") || address.starts_with("https://")) {
        findings.add("prometheus.address", format!("{address:?}"), "begin with http:// or https://");
    }
    if server.bearer_token_secret_ref.is_some() && server.basic_auth.is_some() {
        findings.add("prometheus", "signed in twice", "write only one of bearerTokenSecretRef and basicAuth");
    }
    if let Some(tls) = &server.tls
        && tls.cert_secret_ref.is_some() != tls.key_secret_ref.is_some()
    {
        findings.add("prometheus.tls", "half a pair", "write certSecretRef and keySecretRef together");
    }
    for (index, header) in server.headers.iter().enumerate() {
        if header.value.is_some() == header.value_secret_ref.is_some() {
            findings.add(
                format!("prometheus.headers[{index}]"),
                &header.name,
                "write exactly one of value and valueSecretRef",
            );
        }
    }
}
