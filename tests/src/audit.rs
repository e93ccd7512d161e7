//! What an account may do and what it did: grants from roles, calls from the API server's audit log.

use std::fmt;

use serde_json::Value;

/// One call of an account, as the audit log tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// As in roles: `get`, `list`, `patch`, ...
    pub verb: String,
    /// The API group; empty for the core.
    pub group: String,
    /// The resource, with its subresource behind a slash.
    pub resource: String,
    /// Empty for calls over all namespaces.
    pub namespace: String,
    /// What the API server answered.
    pub code: u64,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}.{} in {:?}: {}", self.verb, self.resource, self.group, self.namespace, self.code)
    }
}

/// Every call of `user` for a resource in an audit log.
pub fn calls(log: &str, user: &str) -> Vec<Call> {
    log.lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|event| event["user"]["username"] == user && event["objectRef"].is_object())
        .map(|event| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let about = &event["objectRef"];
            let resource = match about["subresource"].as_str() {
                Some(part) => format!("{}/{part}", text(&about["resource"])),
                None => text(&about["resource"]),
            };
            Call {
                verb: text(&event["verb"]),
                group: text(&about["apiGroup"]),
                resource,
                namespace: text(&about["namespace"]),
                code: event["responseStatus"]["code"].as_u64().unwrap_or_default(),
            }
        })
        .collect()
}

/// One thing that a role allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The role that allows it.
    pub role: String,
    /// Where; `None` in the whole cluster.
    pub namespace: Option<String>,
    /// The API group.
    pub group: String,
    /// The resource, with its subresource behind a slash.
    pub resource: String,
    /// The verb.
    pub verb: String,
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = self.namespace.as_deref().unwrap_or("the whole cluster");
        write!(f, "{} {}.{} in {place} (role {})", self.verb, self.resource, self.group, self.role)
    }
}

impl Grant {
    /// Whether `call` could not have been made without this grant. An apply that makes the object is checked for
    /// `create` as well as for `patch`.
    pub fn is_used_by(&self, call: &Call) -> bool {
        let verb =
            call.verb == self.verb || (self.verb == "create" && call.verb == "patch" && call.code == 201);
        let place = self.namespace.as_ref().is_none_or(|namespace| *namespace == call.namespace);
        verb && place && (&call.group, &call.resource) == (&self.group, &self.resource)
    }
}

/// Everything that the bindings among `objects` allow the service account `name`.
pub fn grants(objects: &[Value], name: &str) -> Vec<Grant> {
    let mut grants = Vec::new();
    for binding in
        objects.iter().filter(|o| matches!(o["kind"].as_str(), Some("ClusterRoleBinding" | "RoleBinding")))
    {
        let subjects = binding["subjects"].as_array();
        let ours = |s: &Value| s["kind"] == "ServiceAccount" && s["name"] == name;
        if !subjects.is_some_and(|all| all.iter().any(ours)) {
            continue;
        }
        let namespace = (binding["kind"] == "RoleBinding").then(|| binding["metadata"]["namespace"].as_str());
        let is_bound = |role: &&Value| {
            let same_place = role["metadata"]["namespace"] == binding["metadata"]["namespace"];
            role["kind"] == binding["roleRef"]["kind"]
                && role["metadata"]["name"] == binding["roleRef"]["name"]
                && (role["kind"] == "ClusterRole" || same_place)
        };
        for role in objects.iter().filter(is_bound) {
            for rule in role["rules"].as_array().into_iter().flatten() {
                grants.extend(of_rule(rule).map(|(group, resource, verb)| Grant {
                    role: role["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
                    namespace: namespace.flatten().map(str::to_owned),
                    group,
                    resource,
                    verb,
                }));
            }
        }
    }
    grants
}

/// Group, resource and verb, in every combination of a rule.
fn of_rule(rule: &Value) -> impl Iterator<Item = (String, String, String)> {
    let texts = |key: &str| -> Vec<String> {
        let all = rule[key].as_array().into_iter().flatten();
        all.filter_map(|value| value.as_str().map(str::to_owned)).collect()
    };
    let (groups, resources, verbs) = (texts("apiGroups"), texts("resources"), texts("verbs"));
    let mut all = Vec::new();
    for group in &groups {
        for resource in &resources {
            all.extend(verbs.iter().map(|verb| (group.clone(), resource.clone(), verb.clone())));
        }
    }
    all.into_iter()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_grant_is_used_by_the_call_that_needs_it() {
        let objects = [
            json!({"kind": "Role", "metadata": {"name": "r", "namespace": "a"}, "rules": [
                {"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["get", "create"]}]}),
            json!({"kind": "RoleBinding", "metadata": {"name": "b", "namespace": "a"},
                "roleRef": {"kind": "Role", "name": "r"}, "subjects": [{"kind": "ServiceAccount", "name": "f"}]}),
        ];
        let grants = grants(&objects, "f");
        assert_eq!(grants.len(), 2);
        assert!(super::grants(&objects, "g").is_empty());
        let line = |verb, namespace, code| {
            json!({"verb": verb, "user": {"username": "u"}, "responseStatus": {"code": code}, "objectRef": {
                "resource": "deployments", "subresource": "scale", "apiGroup": "apps", "namespace": namespace}})
            .to_string()
        };
        let call = |verb, namespace, code| calls(&line(verb, namespace, code), "u").remove(0);
        assert!(grants[0].is_used_by(&call("get", "a", 200)));
        assert!(!grants[0].is_used_by(&call("get", "b", 200)));
        assert!(!grants[1].is_used_by(&call("patch", "a", 200)));
        assert!(grants[1].is_used_by(&call("patch", "a", 201)));
        assert!(calls(&line("get", "a", 200), "somebody else").is_empty());
    }
}
