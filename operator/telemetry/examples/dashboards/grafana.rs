//! Panels, rows and boards, and their JSON.

use serde_json::{Value, json};

/// How a panel shows its figures.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Look {
    /// One large figure.
    Stat,
    /// Lines over time.
    Lines,
    /// Lines that stay until they jump, for replicas.
    Steps,
    /// Areas stacked on each other.
    Stack,
    /// States over time.
    States,
    /// The newest value of each series as a row.
    Table,
    /// The newest value of each series as a bar.
    Bars,
    /// How often which size, over time.
    Heatmap,
}

/// One query.
pub(crate) struct Query {
    expr: String,
    legend: &'static str,
}

/// One panel.
pub(crate) struct Panel {
    title: &'static str,
    says: &'static str,
    look: Look,
    unit: &'static str,
    width: u32,
    height: u32,
    queries: Vec<Query>,
    max: Option<f64>,
    steps: Vec<(f64, &'static str)>,
    words: Vec<(&'static str, &'static str, &'static str)>,
    dashed: Vec<&'static str>,
    band: Option<(&'static str, &'static str)>,
}

impl Panel {
    pub(crate) fn new(look: Look, title: &'static str, says: &'static str) -> Self {
        let (width, height) = match look {
            Look::Stat => (4, 4),
            Look::Table => (24, 9),
            Look::States => (24, 6),
            _ => (12, 8),
        };
        Self {
            title,
            says,
            look,
            unit: "short",
            width,
            height,
            queries: Vec::new(),
            max: None,
            steps: Vec::new(),
            words: Vec::new(),
            dashed: Vec::new(),
            band: None,
        }
    }

    /// Adds a query and the name of its lines.
    pub(crate) fn ask(mut self, expr: impl Into<String>, legend: &'static str) -> Self {
        self.queries.push(Query { expr: expr.into(), legend });
        self
    }

    pub(crate) fn unit(mut self, unit: &'static str) -> Self {
        self.unit = unit;
        self
    }

    pub(crate) fn size(mut self, width: u32, height: u32) -> Self {
        (self.width, self.height) = (width, height);
        self
    }

    pub(crate) fn max(mut self, max: f64) -> Self {
        self.max = Some(max);
        self
    }

    /// Green up to the first of these, then the color beside it.
    pub(crate) fn steps(mut self, steps: &[(f64, &'static str)]) -> Self {
        self.steps = steps.to_vec();
        self
    }

    /// Words and colors for values.
    pub(crate) fn words(mut self, words: &[(&'static str, &'static str, &'static str)]) -> Self {
        self.words = words.to_vec();
        self
    }

    /// Lines, by legend, that are drawn dashed.
    pub(crate) fn dashed(mut self, names: &[&'static str]) -> Self {
        self.dashed = names.to_vec();
        self
    }

    /// Fills between two lines, by legend.
    pub(crate) fn band(mut self, upper: &'static str, lower: &'static str) -> Self {
        self.band = Some((upper, lower));
        self
    }

    fn kind(&self) -> &'static str {
        match self.look {
            Look::Stat => "stat",
            Look::Lines | Look::Steps | Look::Stack => "timeseries",
            Look::States => "state-timeline",
            Look::Table => "table",
            Look::Bars => "bargauge",
            Look::Heatmap => "heatmap",
        }
    }

    fn instant(&self) -> bool {
        matches!(self.look, Look::Stat | Look::Table | Look::Bars)
    }

    fn json(&self, id: u32, x: u32, y: u32) -> Value {
        let targets: Vec<Value> = self
            .queries
            .iter()
            .enumerate()
            .map(|(i, q)| {
                json!({
                    "datasource": source(),
                    "editorMode": "code",
                    "expr": q.expr,
                    "legendFormat": if q.legend.is_empty() { "__auto" } else { q.legend },
                    "instant": self.instant(),
                    "range": !self.instant(),
                    "format": match self.look { Look::Table => "table", Look::Heatmap => "heatmap", _ => "time_series" },
                    "refId": char::from(b'A' + i as u8).to_string(),
                })
            })
            .collect();
        let mut panel = json!({
            "id": id,
            "type": self.kind(),
            "title": self.title,
            "description": self.says,
            "datasource": source(),
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "targets": targets,
            "fieldConfig": {"defaults": self.defaults(), "overrides": self.overrides()},
            "options": self.options(),
        });
        if self.look == Look::Table {
            panel["transformations"] = json!([
                {"id": "merge", "options": {}},
                {"id": "organize", "options": {"excludeByName": {"Time": true}}},
            ]);
        }
        panel
    }

    fn defaults(&self) -> Value {
        let mut steps = vec![json!({"color": "green", "value": null})];
        steps.extend(self.steps.iter().map(|(at, color)| json!({"color": color, "value": at})));
        let mut defaults = json!({
            "unit": self.unit,
            "min": 0,
            "color": {"mode": if self.steps.is_empty() && self.words.is_empty() { "palette-classic" } else { "thresholds" }},
            "thresholds": {"mode": "absolute", "steps": steps},
            "links": [{
                "title": "Open on Foresail's page",
                "url": "${page}/#/policies/${__field.labels.namespace}/${__field.labels.policy}",
                "targetBlank": true,
            }],
        });
        if let Some(max) = self.max {
            defaults["max"] = json!(max);
        }
        if !self.words.is_empty() {
            let options: serde_json::Map<String, Value> = self
                .words
                .iter()
                .enumerate()
                .map(|(i, (value, text, color))| {
                    ((*value).to_owned(), json!({"text": text, "color": color, "index": i}))
                })
                .collect();
            defaults["mappings"] = json!([{"type": "value", "options": options}]);
        }
        match self.look {
            Look::Lines | Look::Steps | Look::Stack => {
                defaults["custom"] = json!({
                    "drawStyle": "line",
                    "lineInterpolation": if self.look == Look::Steps { "stepAfter" } else { "linear" },
                    "lineWidth": 2,
                    "fillOpacity": if self.look == Look::Stack { 40 } else { 6 },
                    "showPoints": "never",
                    "spanNulls": false,
                    "stacking": {"mode": if self.look == Look::Stack { "normal" } else { "none" }},
                });
            }
            Look::States => defaults["custom"] = json!({"lineWidth": 0, "fillOpacity": 80}),
            _ => {}
        }
        defaults
    }

    fn overrides(&self) -> Vec<Value> {
        let by = |name: &str, properties: Value| json!({"matcher": {"id": "byName", "options": name}, "properties": properties});
        let mut all: Vec<Value> = self
            .dashed
            .iter()
            .map(|n| {
                by(
                    n,
                    json!([
                        {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [8, 6]}},
                        {"id": "custom.fillOpacity", "value": 0},
                    ]),
                )
            })
            .collect();
        if let Some((upper, lower)) = self.band {
            all.push(by(
                upper,
                json!([
                    {"id": "custom.fillBelowTo", "value": lower},
                    {"id": "custom.lineWidth", "value": 0},
                    {"id": "custom.fillOpacity", "value": 25},
                ]),
            ));
        }
        all
    }

    fn options(&self) -> Value {
        let reduce = json!({"calcs": ["lastNotNull"], "fields": "", "values": false});
        match self.look {
            Look::Stat => json!({
                "reduceOptions": reduce, "colorMode": if self.steps.is_empty() && self.words.is_empty() { "none" } else { "value" },
                "graphMode": "none", "textMode": "auto", "justifyMode": "auto", "orientation": "auto",
            }),
            Look::Bars => {
                json!({"reduceOptions": reduce, "displayMode": "basic", "orientation": "horizontal"})
            }
            Look::Table => json!({"showHeader": true, "cellHeight": "sm", "footer": {"show": false}}),
            Look::Heatmap => json!({
                "calculate": false, "yAxis": {"unit": self.unit}, "color": {"mode": "scheme", "scheme": "Purples", "steps": 32},
                "cellGap": 1, "tooltip": {"mode": "single", "showColorScale": true},
            }),
            Look::States => {
                json!({"mergeValues": true, "showValue": "auto", "legend": {"displayMode": "list", "placement": "bottom"}})
            }
            _ => json!({
                "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }),
        }
    }
}

/// A title over panels.
pub(crate) struct Row {
    pub(crate) title: &'static str,
    pub(crate) panels: Vec<Panel>,
}

/// A dashboard.
pub(crate) struct Board {
    pub(crate) uid: &'static str,
    pub(crate) title: &'static str,
    pub(crate) says: &'static str,
    /// Variables besides data source, job and page: name and query.
    pub(crate) variables: Vec<(&'static str, &'static str, bool)>,
    pub(crate) rows: Vec<Row>,
}

fn source() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

impl Board {
    pub(crate) fn json(&self) -> Value {
        json!({
            "uid": self.uid,
            "title": self.title,
            "description": self.says,
            "tags": ["foresail"],
            "schemaVersion": 42,
            "version": 1,
            "editable": false,
            "graphTooltip": 1,
            "timezone": "browser",
            "refresh": "30s",
            "time": {"from": "now-6h", "to": "now"},
            "links": [{
                "type": "dashboards", "title": "Foresail", "tags": ["foresail"], "asDropdown": true,
                "includeVars": true, "keepTime": true, "icon": "external link", "targetBlank": false,
            }, {
                "type": "link", "title": "Foresail's own page", "url": "${page}", "icon": "external link", "targetBlank": true,
                "includeVars": false, "keepTime": false, "tags": [], "asDropdown": false,
            }],
            "annotations": {"list": self.annotations()},
            "templating": {"list": self.templating()},
            "panels": self.panels(),
        })
    }

    fn annotations(&self) -> Value {
        let policies = self.variables.iter().any(|(n, ..)| *n == "policy");
        let among =
            if policies { r#"namespace=~"$namespace", policy=~"$policy""# } else { r#"namespace=~".+""# };
        json!([
            {
                "name": "Replicas changed", "enable": policies, "hide": false, "iconColor": "purple", "datasource": source(),
                "expr": format!("foresail_policy_last_scale_timestamp_seconds{{job=~\"$job\", {among}}} * 1000"),
                "useValueForTime": true, "step": "60s", "titleFormat": "{{namespace}}/{{policy}} scaled",
            },
            {
                "name": "Alerts", "enable": true, "hide": false, "iconColor": "red", "datasource": source(),
                "expr": r#"ALERTS{alertname=~"Foresail.+", alertstate="firing"}"#,
                "step": "60s", "titleFormat": "{{alertname}}", "textFormat": "{{namespace}} {{policy}} {{component}}",
            },
        ])
    }

    fn templating(&self) -> Vec<Value> {
        let query = |name: &str, query: &str, all: bool| {
            let mut variable = json!({
                "name": name, "label": name, "type": "query", "datasource": source(),
                "query": {"query": query, "refId": name}, "definition": query, "refresh": 2, "sort": 1,
                "includeAll": all, "multi": all, "hide": 0,
            });
            if all {
                variable["allValue"] = json!(".+");
                variable["current"] = json!({"text": "All", "value": "$__all"});
            }
            variable
        };
        let mut list = vec![
            json!({"name": "datasource", "label": "data source", "type": "datasource", "query": "prometheus", "hide": 0, "refresh": 1}),
            query("job", "label_values(foresail_build_info, job)", true),
        ];
        list.extend(self.variables.iter().map(|(name, text, all)| query(name, text, *all)));
        list.push(json!({
            "name": "page", "label": "page", "type": "textbox", "query": "http://localhost:8080", "hide": 0,
            "current": {"text": "http://localhost:8080", "value": "http://localhost:8080"},
            "description": "Address of Foresail's own page, for links",
        }));
        list
    }

    fn panels(&self) -> Vec<Value> {
        let (mut all, mut id, mut y) = (Vec::new(), 1, 0);
        for row in &self.rows {
            all.push(json!({
                "id": id, "type": "row", "title": row.title, "collapsed": false, "panels": [],
                "gridPos": {"x": 0, "y": y, "w": 24, "h": 1},
            }));
            (id, y) = (id + 1, y + 1);
            let (mut x, mut tallest) = (0, 0);
            for panel in &row.panels {
                if x + panel.width > 24 {
                    (x, y, tallest) = (0, y + tallest, 0);
                }
                all.push(panel.json(id, x, y));
                (id, x, tallest) = (id + 1, x + panel.width, tallest.max(panel.height));
            }
            y += tallest;
        }
        all
    }
}
