//! What each built-in alert is called and says, in English and Chinese. The rule's name comes in; a title and a sentence
//! as a template over the alert's labels and facts go out. An alert that isn't built in speaks for itself.

use crate::message::Language;

/// Title and sentence of one rule in one language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The rule, for people.
    pub title: &'static str,
    /// One sentence; Jinja over `labels` and `facts`.
    pub sentence: &'static str,
}

/// The words for a rule, where it is built in.
pub fn entry(name: &str, language: Language) -> Option<Entry> {
    let (en, zh) = match name {
        "ComponentDown" => (
            (
                "Component down",
                "{{ labels.namespace }}/{{ labels.component }} is down{% if facts.output %}: {{ facts.output }}{% endif %}",
            ),
            (
                "组件不可用",
                "{{ labels.namespace }}/{{ labels.component }} 不可用{% if facts.output %}：{{ facts.output }}{% endif %}",
            ),
        ),
        "ComponentDegraded" => (
            (
                "Component degraded",
                "{{ labels.namespace }}/{{ labels.component }} is {% if facts.flapping %}flapping{% else %}degraded{% endif %}{% if facts.output %}: {{ facts.output }}{% endif %}",
            ),
            (
                "组件降级",
                "{{ labels.namespace }}/{{ labels.component }} {% if facts.flapping %}状态抖动{% else %}性能下降{% endif %}{% if facts.output %}：{{ facts.output }}{% endif %}",
            ),
        ),
        "CertificateExpiring" => (
            (
                "Certificate expiring",
                "the certificate of {{ labels.namespace }}/{{ labels.component }} expires in {{ facts.days }} days",
            ),
            (
                "证书即将过期",
                "{{ labels.namespace }}/{{ labels.component }} 的证书将在 {{ facts.days }} 天后过期",
            ),
        ),
        "ProberIsolated" => (
            ("Prober isolated", "{{ summary }}"),
            ("探测器网络异常", "探测器 {{ labels.prober }} 看到的故障其他探测器都看不到，疑似其自身网络问题"),
        ),
        "AtMaxReplicas" => (
            (
                "At maximum replicas",
                "{{ labels.namespace }}/{{ labels.policy }} wants {{ facts.wanted }} replicas and may have {{ facts.max }}",
            ),
            (
                "已达最大副本数",
                "{{ labels.namespace }}/{{ labels.policy }} 需要 {{ facts.wanted }} 个副本，上限为 {{ facts.max }}",
            ),
        ),
        "ForecastNotTrusted" => (
            ("Forecast no longer trusted", "{{ summary }}"),
            (
                "预测不再可信",
                "{{ labels.namespace }}/{{ labels.policy }} 已停用预测，仅按实时指标扩缩容{% if facts.detail %}：{{ facts.detail }}{% endif %}",
            ),
        ),
        "ForecastMissed" => (
            ("Forecast missed", "{{ summary }}"),
            (
                "预测偏差",
                "{{ labels.namespace }}/{{ labels.policy }} 的实际负载超出预测{% if facts.detail %}：{{ facts.detail }}{% endif %}",
            ),
        ),
        "DataAbsent" => (
            ("No data", "{{ summary }}"),
            (
                "指标数据缺失",
                "{{ labels.namespace }}/{{ labels.policy }} 无可用数据{% if facts.detail %}：{{ facts.detail }}{% endif %}",
            ),
        ),
        "ScalingRefused" => (
            ("Scaling refused", "{{ summary }}"),
            (
                "扩缩容被拒绝",
                "API 服务器拒绝了 {{ labels.namespace }}/{{ labels.policy }} 的扩缩容{% if facts.detail %}：{{ facts.detail }}{% endif %}",
            ),
        ),
        "CapacityUnreachable" => (
            ("Pods without a node", "{{ summary }}"),
            (
                "容量不足",
                "{{ labels.namespace }}/{{ labels.policy }} 有 Pod 无法调度{% if facts.detail %}：{{ facts.detail }}{% endif %}",
            ),
        ),
        "ReplicasDrift" => (
            ("Replicas changed by others", "{{ summary }}"),
            (
                "副本数被外部修改",
                "{{ labels.namespace }}/{{ labels.policy }} 的副本数被其他程序修改{% if facts.detail %}：{{ facts.detail }}{% endif %}",
            ),
        ),
        "LoadDrift" => (
            ("Load has changed", "{{ summary }}"),
            (
                "负载规律变化",
                "{{ labels.namespace }}/{{ labels.policy }} 的负载规律已变化{% if facts.detail %}：{{ facts.detail }}{% endif %}",
            ),
        ),
        _ => return None,
    };
    let (title, sentence) = match language {
        Language::En => en,
        Language::Zh => zh,
    };
    Some(Entry { title, sentence })
}

/// Words around the alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words {
    /// Something fires.
    pub firing: &'static str,
    /// Nothing does any more.
    pub resolved: &'static str,
    /// Severities: info, warning, critical.
    pub severities: [&'static str; 3],
    /// What is down because of this.
    pub consequences: &'static str,
    /// The words for the time since which an alert fires.
    pub since: &'static str,
    /// How long it lasted.
    pub lasted: &'static str,
    /// What to do.
    pub runbook: &'static str,
    /// The decision or check behind it.
    pub trace: &'static str,
    /// Before and after the number of alerts left out.
    pub more: (&'static str, &'static str),
    /// A message that only tries things out.
    pub test: &'static str,
}

/// The words in a language.
pub fn words(language: Language) -> Words {
    match language {
        Language::En => Words {
            firing: "Firing",
            resolved: "Resolved",
            severities: ["info", "warning", "critical"],
            consequences: "Affected",
            since: "Since",
            lasted: "Lasted",
            runbook: "Runbook",
            trace: "Trace",
            more: ("… and ", " more"),
            test: "This is a test message of Foresail.",
        },
        Language::Zh => Words {
            firing: "告警",
            resolved: "已恢复",
            severities: ["提示", "警告", "严重"],
            consequences: "受影响",
            since: "开始时间",
            lasted: "持续",
            runbook: "处理手册",
            trace: "追踪",
            more: ("……另有 ", " 条"),
            test: "这是 Foresail 的测试消息。",
        },
    }
}

#[cfg(test)]
mod tests {
    use health::alert::BuiltIn;

    use super::*;

    #[test]
    fn every_built_in_alert_has_words_in_both_languages() {
        for rule in BuiltIn::ALL {
            let en = entry(rule.as_str(), Language::En).unwrap();
            let zh = entry(rule.as_str(), Language::Zh).unwrap();
            assert_ne!(en.title, zh.title);
        }
        assert_eq!(entry("KubeJobFailed", Language::Zh), None);
    }
}
