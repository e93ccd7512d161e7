//! A chat's robot on loopback, which keeps what it is told.

use std::sync::{Arc, Mutex};

use anyhow::Result;
use serde_json::{Value, json};
use testbed::ControlPlane;

/// What a chat was told so far, the oldest first.
#[derive(Clone, Default)]
pub(crate) struct Chat {
    told: Arc<Mutex<Vec<Value>>>,
}

impl Chat {
    /// Starts one, and makes it the AlertReceiver `oncall` of namespace default, with its Secret.
    pub(crate) async fn of(plane: &ControlPlane) -> Result<Self> {
        let chat = Self::default();
        let told = chat.told.clone();
        let take = move |axum::Json(body): axum::Json<Value>| async move {
            told.lock().expect("nobody panicked").push(body);
            axum::Json(json!({"errcode": 0, "errmsg": "ok"}))
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/robot/send?access_token=very-secret-token", listener.local_addr()?);
        let router = axum::Router::new().route("/robot/send", axum::routing::post(take));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "chat", "namespace": "default"},
            "stringData": {"url": url, "secret": "SECvery-secret-too"},
        });
        plane.apply_object(secret).await?;
        let robot = json!({
            "dingtalk": {
                "urlSecretRef": {"name": "chat", "key": "url"},
                "signingSecretRef": {"name": "chat", "key": "secret"},
            },
            "language": "zh", "allowInsecure": true,
            "group": {"wait": "1s", "interval": "1s", "by": ["alertname"]},
        });
        plane.apply_object(super::object("AlertReceiver", "oncall", &robot)).await?;
        Ok(chat)
    }

    /// The text of every message.
    pub(crate) fn messages(&self) -> Vec<String> {
        self.told.lock().expect("nobody panicked").iter().map(ToString::to_string).collect()
    }

    /// Whether a message holds all of these words.
    pub(crate) fn heard(&self, words: &[&str]) -> bool {
        self.messages().iter().any(|message| words.iter().all(|word| message.contains(word)))
    }
}
