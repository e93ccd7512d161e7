//! From a message to text: the words of the language, the marks of the service, the templates of the user. A message
//! comes in; a title, one text per alert and links go out. Which of it fits where is the format's.

use std::collections::BTreeMap;

use health::alert::{Alert, AlertPhase, Severity};
use minijinja::{Environment, UndefinedBehavior, context};
use series::time::since;

use crate::catalog::{self, Words};
use crate::message::{Language, Message};

/// How a service marks text up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Markup {
    /// `**bold**`, `[text](address)`.
    Markdown,
    /// Slack's: `*bold*`, `<address|text>`.
    Slack,
    /// Telegram's: `<b>`, `<a>`.
    Html,
    /// None.
    Plain,
}

impl Markup {
    /// Text of others, so that it isn't taken for marks.
    pub fn escape(self, text: &str) -> String {
        match self {
            Self::Html | Self::Slack => text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"),
            // A table of every special character would make error messages unreadable; these start links and mentions.
            Self::Markdown => text.replace('[', "\\[").replace('<', "&lt;"),
            Self::Plain => text.to_owned(),
        }
    }

    /// Strong text.
    pub fn bold(self, text: &str) -> String {
        match self {
            Self::Markdown => format!("**{text}**"),
            Self::Slack => format!("*{text}*"),
            Self::Html => format!("<b>{text}</b>"),
            Self::Plain => text.to_owned(),
        }
    }

    /// A link, where `address` is an http address; otherwise only the text.
    pub fn link(self, text: &str, address: &str) -> String {
        if !address.starts_with("https://") && !address.starts_with("http://") {
            return text.to_owned();
        }
        match self {
            Self::Markdown => format!("[{text}]({})", address.replace(')', "%29").replace(' ', "%20")),
            Self::Slack => format!("<{}|{text}>", address.replace(['|', '>'], "%7C")),
            Self::Html => format!("<a href=\"{}\">{text}</a>", self.escape(address).replace('"', "&quot;")),
            Self::Plain => format!("{text}: {address}"),
        }
    }
}

/// Templates of the user, instead of the built-in texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Custom {
    /// The title.
    pub title: Option<String>,
    /// The text.
    pub text: Option<String>,
}

/// A template that can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the template of the {part} is not valid: {message}")]
pub struct BadTemplate {
    /// Title or text.
    pub part: &'static str,
    /// What is wrong with it.
    pub message: String,
}

/// A message in words.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    /// One line.
    pub title: String,
    /// One text for each alert, or a single one from the user's template.
    pub items: Vec<String>,
    /// The words of the language.
    pub words: Words,
}

impl Text {
    /// How many were left out, in words.
    pub fn more(&self, n: usize) -> String {
        format!("{}{n}{}", self.words.more.0, self.words.more.1)
    }
}

/// Renders messages.
#[derive(Clone, Debug)]
pub struct Renderer {
    language: Language,
    custom: Custom,
}

impl Renderer {
    /// A renderer; the templates are tried on a made-up alert, so that a wrong one is known now and not at night.
    pub fn new(language: Language, custom: Custom) -> Result<Self, BadTemplate> {
        let renderer = Self { language, custom };
        let sample = Message { id: "msg_0".into(), at: jiff::Timestamp::UNIX_EPOCH, groups: Vec::new() };
        for (part, template) in [("title", &renderer.custom.title), ("text", &renderer.custom.text)] {
            if let Some(template) = template {
                renderer
                    .custom(template, &sample, Markup::Plain)
                    .map_err(|message| BadTemplate { part, message })?;
            }
        }
        Ok(renderer)
    }

    /// The built-in texts of a language.
    pub fn plain(language: Language) -> Self {
        Self { language, custom: Custom::default() }
    }

    /// The language.
    pub fn language(&self) -> Language {
        self.language
    }

    /// A message in words.
    pub fn render(&self, message: &Message, markup: Markup) -> Text {
        let words = catalog::words(self.language);
        // A template that was good when it was made and fails on this message must not cost the message.
        let custom = |template: &Option<String>, markup| {
            template
                .as_ref()
                .and_then(|t| self.custom(t, message, markup).ok())
                .filter(|t| !t.trim().is_empty())
        };
        let title = custom(&self.custom.title, Markup::Plain)
            .map_or_else(|| self.title(message, &words), |t| t.lines().next().unwrap_or_default().to_owned());
        let items = match custom(&self.custom.text, markup) {
            Some(text) => vec![text],
            None => message.alerts().iter().map(|a| self.item(a, &words, markup, message.at)).collect(),
        };
        Text { title, items, words }
    }

    /// `[Firing 2] Component down: shop/db`
    fn title(&self, message: &Message, words: &Words) -> String {
        let (firing, resolved) = message.counts();
        let (word, count) = if firing > 0 { (words.firing, firing) } else { (words.resolved, resolved) };
        let alerts = message.alerts();
        let mut names: Vec<String> = alerts.iter().map(|a| self.name(a)).collect();
        names.dedup();
        let what = match names.len() {
            0 => String::new(),
            1..=3 => names.join(", "),
            n => format!("{}, {} {}{}{}", names[0], names[1], words.more.0, n - 2, words.more.1),
        };
        let subject = match alerts.as_slice() {
            [one] => format!(" · {}", subject(one)),
            _ => String::new(),
        };
        let number = if count > 1 { format!(" {count}") } else { String::new() };
        format!("[{word}{number}] {what}{subject}")
    }

    fn name(&self, alert: &Alert) -> String {
        catalog::entry(&alert.name, self.language).map_or_else(|| alert.name.clone(), |e| e.title.to_owned())
    }

    fn item(&self, alert: &Alert, words: &Words, markup: Markup, now: jiff::Timestamp) -> String {
        let resolved = alert.phase == AlertPhase::Resolved;
        let mark = if resolved { "✅" } else { mark(alert.severity) };
        let severity = words.severities[alert.severity as usize];
        let state = if resolved { words.resolved } else { severity };
        let mut lines = vec![format!("{mark} {} · {state}", markup.bold(&markup.escape(&self.name(alert))))];
        lines.push(markup.escape(&self.sentence(alert)));
        if let Some(names) = alert.facts.get("consequences").filter(|_| !resolved) {
            lines.push(format!("{}: {}", words.consequences, markup.escape(names)));
        }
        if resolved {
            let lasted = since(alert.resolved.unwrap_or(now), alert.since);
            lines.push(format!("{}: {}", words.lasted, duration(lasted)));
        } else {
            lines.push(format!("{}: {}", words.since, alert.since.strftime("%Y-%m-%d %H:%M:%SZ")));
            if !alert.runbook_url.is_empty() {
                lines.push(markup.link(words.runbook, &alert.runbook_url));
            }
            if let Some(trace) = &alert.evidence.trace_id {
                lines.push(format!("{}: {}", words.trace, markup.escape(trace)));
            }
        }
        lines.join("\n")
    }

    /// The alert in one sentence of the language.
    pub fn sentence(&self, alert: &Alert) -> String {
        let Some(entry) = catalog::entry(&alert.name, self.language) else { return alert.summary.clone() };
        let rendered = environment().render_str(
            entry.sentence,
            context! { labels => &alert.labels, facts => &alert.facts, summary => &alert.summary },
        );
        rendered.ok().filter(|s| !s.is_empty()).unwrap_or_else(|| alert.summary.clone())
    }

    fn custom(&self, template: &str, message: &Message, markup: Markup) -> Result<String, String> {
        let (firing, resolved) = message.counts();
        let alerts: Vec<minijinja::Value> =
            message.alerts().into_iter().map(|a| self.alert_value(a, markup)).collect();
        let group: BTreeMap<String, String> = match message.groups.as_slice() {
            [one] => one.labels.iter().map(|(k, v)| (k.clone(), markup.escape(v))).collect(),
            _ => BTreeMap::new(),
        };
        let status = if message.is_firing() { "firing" } else { "resolved" };
        environment()
            .render_str(template, context! { status, alerts, group, firing, resolved })
            .map_err(|e| e.to_string())
    }

    fn alert_value(&self, alert: &Alert, markup: Markup) -> minijinja::Value {
        let escape = |map: &BTreeMap<String, String>| -> BTreeMap<String, String> {
            map.iter().map(|(k, v)| (k.clone(), markup.escape(v))).collect()
        };
        context! {
            name => &alert.name,
            title => markup.escape(&self.name(alert)),
            severity => catalog::words(Language::En).severities[alert.severity as usize],
            status => if alert.phase == AlertPhase::Resolved { "resolved" } else { "firing" },
            labels => escape(&alert.labels),
            facts => escape(&alert.facts),
            summary => markup.escape(&self.sentence(alert)),
            since => alert.since.to_string(),
            runbook_url => &alert.runbook_url,
            trace_id => &alert.evidence.trace_id,
        }
    }
}

/// What a template may cost: a loop over a loop must not stop the receiver.
const FUEL: u64 = 200_000;

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    environment
}

/// What an alert is about.
pub fn subject(alert: &Alert) -> String {
    let label = |name: &str| alert.labels.get(name).map(String::as_str);
    let what = ["component", "policy", "prober", "pod", "job", "instance"].into_iter().find_map(label);
    match (label("namespace"), what) {
        (Some(namespace), Some(what)) => format!("{namespace}/{what}"),
        (None, Some(what)) | (Some(what), None) => what.to_owned(),
        (None, None) => alert.name.clone(),
    }
}

/// A sign that is seen at a glance.
pub fn mark(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "🔴",
        Severity::Warning => "🟠",
        Severity::Info => "🔵",
    }
}

/// `1h 5m`, `42s`.
pub fn duration(time: std::time::Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, m) => format!("{m}m {}s", seconds % 60),
        (0, h, m) => format!("{h}h {m}m"),
        (d, h, _) => format!("{d}d {h}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Group;
    use crate::outbox::tests::{alert, at, resolved};

    fn message(alerts: Vec<Alert>) -> Message {
        Message {
            id: "msg_1".into(),
            at: at(65_000),
            groups: vec![Group { key: "k".into(), labels: BTreeMap::new(), alerts }],
        }
    }

    #[test]
    fn english_and_chinese() {
        let down = message(vec![alert("ComponentDown", "shop", "db")]);
        let en = Renderer::plain(Language::En).render(&down, Markup::Markdown);
        assert_eq!(en.title, "[Firing] Component down · shop/db");
        assert!(en.items[0].contains("shop/db is down: connection refused"), "{}", en.items[0]);
        assert!(en.items[0].contains("[Runbook](https://example.com/runbooks/ComponentDown.md)"));
        let zh = Renderer::plain(Language::Zh).render(&down, Markup::Markdown);
        assert_eq!(zh.title, "[告警] 组件不可用 · shop/db");
        assert!(zh.items[0].contains("不可用：connection refused") && zh.items[0].contains("受影响"));
        let over = message(vec![resolved(alert("ComponentDown", "shop", "db"), at(65_000))]);
        assert!(Renderer::plain(Language::Zh).render(&over, Markup::Plain).items[0].contains("持续: 1m 5s"));
    }

    #[test]
    fn what_others_wrote_is_not_taken_for_markup() {
        let mut bad = alert("ComponentDown", "shop", "db");
        bad.facts.insert("output".into(), "<b>&</b> <@everyone>".into());
        let text = Renderer::plain(Language::En).render(&message(vec![bad]), Markup::Html);
        assert!(text.items[0].contains("&lt;b&gt;&amp;&lt;/b&gt;"), "{}", text.items[0]);
    }

    #[test]
    fn templates_of_the_user_are_tried_before_they_are_needed() {
        let custom = |text: &str| Custom { title: None, text: Some(text.into()) };
        let good = custom("{% for a in alerts %}{{ a.title }} {{ a.labels.component }}{% endfor %}");
        let text = Renderer::new(Language::Zh, good)
            .unwrap()
            .render(&message(vec![alert("ComponentDown", "shop", "db")]), Markup::Plain);
        assert_eq!(text.items, ["组件不可用 db"]);
        assert!(Renderer::new(Language::En, custom("{{ nope")).is_err());
        let endless = custom("{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}");
        assert!(Renderer::new(Language::En, endless).is_err());
    }
}
