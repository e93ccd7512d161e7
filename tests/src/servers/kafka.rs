//! Apache Kafka: one KRaft broker that is its own controller, and Kafka's own tools.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use tempfile::TempDir;

use super::directory;
use crate::process::{Process, command, run};
use crate::{assets, net};

/// A JVM takes its time on a crowded machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// Kafka's tools, by what they are for.
mod tool {
    pub(super) const STORAGE: &str = "kafka.tools.StorageTool";
    pub(super) const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
    pub(super) const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
    pub(super) const SHARE_GROUPS: &str = "org.apache.kafka.tools.consumer.group.ShareGroupCommand";
    pub(super) const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";
    pub(super) const SHARE_CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleShareConsumer";
    pub(super) const PRODUCER: &str = "org.apache.kafka.tools.ProducerPerformance";
    pub(super) const DELETE_RECORDS: &str = "org.apache.kafka.tools.DeleteRecordsCommand";
}

/// How a consumer group shares out its partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// The client decides; every group before Kafka 4.
    Classic,
    /// The broker decides (KIP-848).
    Consumer,
}

/// A running broker without authentication.
#[derive(Debug)]
pub struct Kafka {
    process: Process,
    port: u16,
    dir: TempDir,
}

impl Kafka {
    /// Starts it.
    ///
    /// # Errors
    /// Fails when it is not set up or does not come up.
    pub async fn start() -> Result<Self> {
        let (dir, port, controller) = (directory("kafka")?, net::free_port()?, net::free_port()?);
        let properties = dir.path().join("server.properties");
        std::fs::write(&properties, configuration(&dir, port, controller))?;
        let id = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(u128::from(port).to_be_bytes());
        let mut format = java(&dir, "128m")?;
        format.args([tool::STORAGE, "format", "-t", &id, "-c"]).arg(&properties);
        run(&mut format)?;
        let mut process = Process::start("kafka", broker(&dir)?)?;
        process.answers_tcp(port, PATIENCE).await?;
        Ok(Self { process, port, dir })
    }

    /// The port that clients use.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `127.0.0.1:PORT`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Makes a topic.
    ///
    /// # Errors
    /// Fails with what Kafka's tool says.
    pub async fn topic(&self, name: &str, partitions: u32) -> Result<()> {
        let partitions = partitions.to_string();
        self.run(tool::TOPICS, &["--create", "--topic", name, "--partitions", &partitions]).await?;
        Ok(())
    }

    /// Writes `count` records of ten bytes, spread over the topic's partitions as Kafka's own producer does. With a
    /// transaction of so many milliseconds each, its markers come to the records.
    ///
    /// # Errors
    /// Fails with what Kafka's tool says.
    pub async fn produce(&self, topic: &str, count: u64, transactions: Option<Duration>) -> Result<()> {
        let count = count.to_string();
        let mut arguments = vec![
            "--topic".to_owned(),
            topic.to_owned(),
            "--num-records".to_owned(),
            count,
            "--record-size".to_owned(),
            "10".to_owned(),
            "--throughput".to_owned(),
            "-1".to_owned(),
        ];
        if let Some(each) = transactions {
            arguments.extend(["--transaction-duration-ms".to_owned(), each.as_millis().to_string()]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.run(tool::PRODUCER, &arguments).await?;
        Ok(())
    }

    /// Takes `count` records as a consumer of `group`, from the earliest on, commits them and leaves.
    ///
    /// # Errors
    /// Fails with what Kafka's tool says, also when there are not as many within 30 s.
    pub async fn consume(&self, topic: &str, group: &str, protocol: Protocol, count: u64) -> Result<()> {
        let count = count.to_string();
        let protocol = match protocol {
            Protocol::Classic => "group.protocol=classic",
            Protocol::Consumer => "group.protocol=consumer",
        };
        let taken = self
            .run(
                tool::CONSUMER,
                &[
                    "--topic",
                    topic,
                    "--group",
                    group,
                    "--from-beginning",
                    "--max-messages",
                    &count,
                    "--timeout-ms",
                    "30000",
                    "--command-property",
                    protocol,
                    // What was fetched and not handed out is not committed.
                    "--command-property",
                    "max.poll.records=1",
                ],
            )
            .await?;
        let lines = taken.lines().filter(|line| !line.is_empty()).count();
        ensure!(lines.to_string() == count, "{lines} of {count} records taken");
        Ok(())
    }

    /// Takes `count` records as a member of a share group that begins with the earliest, acknowledges them and leaves.
    ///
    /// # Errors
    /// Fails with what Kafka's tools say.
    pub async fn share(&self, topic: &str, group: &str, count: u64) -> Result<()> {
        self.run(
            "org.apache.kafka.tools.ConfigCommand",
            &[
                "--alter",
                "--entity-type",
                "groups",
                "--entity-name",
                group,
                "--add-config",
                "share.auto.offset.reset=earliest",
            ],
        )
        .await?;
        let count = count.to_string();
        self.run(
            tool::SHARE_CONSUMER,
            &["--topic", topic, "--group", group, "--max-messages", &count, "--timeout-ms", "30000"],
        )
        .await?;
        Ok(())
    }

    /// Deletes the records of a partition before an offset.
    ///
    /// # Errors
    /// Fails with what Kafka's tool says.
    pub async fn delete_records(&self, topic: &str, partition: u32, before: u64) -> Result<()> {
        let file = self.dir.path().join("delete.json");
        let order = serde_json::json!({"version": 1, "partitions": [
            {"topic": topic, "partition": partition, "offset": before}]});
        std::fs::write(&file, order.to_string())?;
        let file = file.to_str().context("a temporary path that is no UTF-8")?.to_owned();
        self.run(tool::DELETE_RECORDS, &["--offset-json-file", &file]).await?;
        Ok(())
    }

    /// The lag of a consumer group over all partitions, as `ConsumerGroupCommand` tells it.
    ///
    /// # Errors
    /// Fails with what Kafka's tool says, also when it tells no lag.
    pub async fn lag(&self, group: &str) -> Result<u64> {
        let told = self.run(tool::GROUPS, &["--describe", "--group", group]).await?;
        sum(&told, "LAG")
    }

    /// The lag of a share group over all partitions, as `ShareGroupCommand` tells it.
    ///
    /// # Errors
    /// Fails with what Kafka's tool says, also when it tells no lag.
    pub async fn share_lag(&self, group: &str) -> Result<u64> {
        let told = self.run(tool::SHARE_GROUPS, &["--describe", "--offsets", "--group", group]).await?;
        sum(&told, "LAG")
    }

    /// Runs one of Kafka's tools against this broker and returns what it printed.
    ///
    /// # Errors
    /// Fails with what it printed, when it fails.
    pub async fn run(&self, class: &str, arguments: &[&str]) -> Result<String> {
        let mut java = java(&self.dir, "128m")?;
        java.args([class, "--bootstrap-server", &self.address()]).args(arguments);
        tokio::task::spawn_blocking(move || run(&mut java)).await?
    }

    /// Fails when it has ended.
    ///
    /// # Errors
    /// Fails with the end of its log.
    pub fn check(&mut self) -> Result<()> {
        self.process.check()
    }

    /// Ends it, as an outage would.
    pub fn stop(&mut self) {
        self.process.kill();
    }

    /// Starts it again on the same port, with its data.
    ///
    /// # Errors
    /// Fails when it does not come up.
    pub async fn restart(&mut self) -> Result<()> {
        self.process.start_again(broker(&self.dir)?)?;
        self.process.answers_tcp(self.port, PATIENCE).await
    }
}

/// The numbers of a column in a table of Kafka's tools, added up.
fn sum(table: &str, column: &str) -> Result<u64> {
    let mut place = None;
    let mut numbers = Vec::new();
    for line in table.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if let Some(found) = fields.iter().position(|field| *field == column) {
            place = Some(found);
        } else if let Some(number) = place.and_then(|at| fields.get(at)) {
            numbers.push(number.parse::<u64>().with_context(|| format!("no {column} in {line:?}"))?);
        }
    }
    ensure!(!numbers.is_empty(), "no {column} in {table:?}");
    Ok(numbers.iter().sum())
}

/// A JVM with Kafka's classes: few resources, quick to start.
fn java(dir: &TempDir, heap: &str) -> Result<Command> {
    let libraries = assets::programs().join("kafka");
    ensure!(libraries.is_dir(), "no Kafka in {}: run tests/setup/servers.sh", libraries.display());
    let mut command = command(assets::program("java")?);
    command.arg(format!("-Xmx{heap}")).args(["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"]);
    command.arg(libraries.join("*")).current_dir(dir.path());
    Ok(command)
}

fn broker(dir: &TempDir) -> Result<Command> {
    let mut command = java(dir, "384m")?;
    command.arg("kafka.Kafka").arg(dir.path().join("server.properties"));
    Ok(command)
}

fn configuration(dir: &TempDir, port: u16, controller: u16) -> String {
    let data = dir.path().join("data").display().to_string();
    format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         controller.listener.names=CONTROLLER\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         log.dirs={data}\n\
         group.initial.rebalance.delay.ms=0\n\
         offsets.topic.num.partitions=1\n\
         offsets.topic.replication.factor=1\n\
         transaction.state.log.num.partitions=1\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         share.coordinator.state.topic.num.partitions=1\n\
         share.coordinator.state.topic.replication.factor=1\n\
         share.coordinator.state.topic.min.isr=1\n"
    )
}
