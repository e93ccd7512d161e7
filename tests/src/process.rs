//! One started program: its own process group, its log in a file, ended when dropped.
//!
//! Programs are tied to the life of this process twice: `Drop` kills the group, and the kernel kills the
//! program when we die without a drop (a test runner's timeout, a second Ctrl-C).

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rustix::process::{Pid, Signal, kill_process_group};

type Order = (Command, Sender<std::io::Result<Child>>);

/// Starts a command line that dies with this process.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    if !Path::new("/usr/bin/setpriv").exists() {
        return Command::new(program);
    }
    let mut command = Command::new("/usr/bin/setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// As [`command`], but as another user when this process is root: for servers that refuse to run as root.
pub fn command_as(user: &str, program: impl AsRef<OsStr>) -> Command {
    if !rustix::process::geteuid().is_root() {
        return command(program);
    }
    let mut command = Command::new("/usr/bin/setpriv");
    command.args([&format!("--reuid={user}"), &format!("--regid={user}"), "--clear-groups"]);
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// The kernel's death signal is tied to the thread that started a program, not to the process. One thread that
/// never ends starts them all.
fn spawn(command: Command) -> Result<Child> {
    static SPAWNER: OnceLock<Sender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox): (Sender<Order>, Receiver<Order>) = channel();
        std::thread::spawn(move || {
            for (mut command, reply) in inbox {
                drop(reply.send(command.spawn()));
            }
        });
        orders
    });
    let (reply, answer) = channel();
    spawner.send((command, reply)).map_err(|_| anyhow!("the thread that starts programs is gone"))?;
    Ok(answer.recv().context("the thread that starts programs is gone")??)
}

/// A running program.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` (from [`command`]) with its output in `NAME.log` under `dir`.
    ///
    /// # Errors
    /// Fails when the program cannot be started.
    pub fn start(name: &str, mut command: Command, dir: &Path) -> Result<Self> {
        let log = dir.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).process_group(0);
        let child = spawn(command).with_context(|| format!("starting {name}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it printed so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The end of what it printed, for error messages.
    pub fn log_tail(&self, lines: usize) -> String {
        let log = self.log();
        let all: Vec<&str> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Whether it has not ended yet.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Fails with the end of the log when it has ended.
    ///
    /// # Errors
    /// Fails when the program is not running any more.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(anyhow!("{} ended with {status}:\n{}", self.name, self.log_tail(20))),
        }
    }

    /// Sends a signal to the program's group.
    fn signal(&self, signal: Signal) {
        if let Some(group) = Pid::from_raw(self.child.id().cast_signed()) {
            // Fails only when the group is gone already.
            let _ = kill_process_group(group, signal);
        }
    }

    /// Asks it to end (SIGTERM) and returns at once.
    pub fn ask_to_end(&self) {
        self.signal(Signal::TERM);
    }

    /// Asks it to end (SIGTERM) and waits for that, at most `patience`.
    ///
    /// # Errors
    /// Fails when it is still running after `patience`; it is killed then.
    pub async fn terminate(&mut self, patience: Duration) -> Result<ExitStatus> {
        self.ask_to_end();
        let start = Instant::now();
        while start.elapsed() < patience {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.kill();
        Err(anyhow!("{} did not end within {patience:?} of SIGTERM:\n{}", self.name, self.log_tail(20)))
    }

    /// Kills it (SIGKILL), children included, and waits for its end.
    pub fn kill(&mut self) {
        if self.is_running() {
            self.signal(Signal::KILL);
        }
        drop(self.child.wait());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The program may have ended while its children live on: the group is what counts.
        self.signal(Signal::KILL);
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("--- end of the log of {} ({})\n{}", self.name, self.log.display(), self.log_tail(40));
        }
    }
}

/// Runs a program to its end and returns what it printed.
///
/// # Errors
/// Fails, with what it printed, when it cannot be started or ends with a failure.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("running {command:?}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(anyhow!("{command:?} ended with {}:\n{text}{complaint}", output.status))
}
