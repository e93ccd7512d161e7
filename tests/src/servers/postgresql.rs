//! PostgreSQL. It refuses to run as root: then it runs as the user that Debian's package made.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use anyhow::Result;
use tempfile::TempDir;

use super::{PATIENCE, directory};
use crate::process::{Process, command_as, run};
use crate::{assets, net};

const USER: &str = "postgres";

/// A running PostgreSQL; user `postgres`, database `postgres`, password `testbed`.
#[derive(Debug)]
pub struct PostgreSql {
    process: Process,
    port: u16,
    dir: TempDir,
}

impl PostgreSql {
    /// Starts it.
    ///
    /// # Errors
    /// Fails when it is not installed or does not come up.
    pub async fn start() -> Result<Self> {
        let (dir, port) = (directory("postgresql")?, net::free_port()?);
        let data = dir.path().join("data");
        std::fs::create_dir(&data)?;
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755))?;
        let password = dir.path().join("password");
        std::fs::write(&password, "testbed\n")?;
        if rustix::process::geteuid().is_root() {
            run(Command::new("chown").arg(USER).arg(&data))?;
        }
        let mut initdb = command_as(USER, assets::program("initdb")?);
        initdb.args(["--username", USER, "--auth=scram-sha-256", "--no-sync", "--pgdata"]).arg(&data);
        initdb.arg(format!("--pwfile={}", password.display())).current_dir(&data);
        run(&mut initdb)?;
        let mut process = Process::start("postgresql", command_line(&dir, port)?)?;
        process.answers_tcp(port, PATIENCE).await?;
        Ok(Self { process, port, dir })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `postgres://postgres:testbed@127.0.0.1:PORT/postgres`
    pub fn url(&self) -> String {
        format!("postgres://{USER}:testbed@127.0.0.1:{}/postgres", self.port)
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
        self.process.start_again(command_line(&self.dir, self.port)?)?;
        self.process.answers_tcp(self.port, PATIENCE).await
    }
}

fn command_line(dir: &TempDir, port: u16) -> Result<Command> {
    let data = dir.path().join("data");
    let mut command = command_as(USER, assets::program("postgres")?);
    command.arg("-D").arg(&data).args(["-h", "127.0.0.1", "-p", &port.to_string(), "-k", "", "-F"]);
    command.current_dir(&data);
    Ok(command)
}
