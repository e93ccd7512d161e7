//! One started program: its own process group, its log in a file, ended when dropped.
//!
//! Logs outlive the test, so that a failure can be looked into: they are in a folder of the test's own, which its next
//! run empties. Each start names its log on the standard error, where a test runner shows it beside a failure.
//!
//! Programs are tied to the life of this process twice: `Drop` kills the group, and the kernel kills the
//! program when we die without a drop (a test runner's timeout, a second Ctrl-C).

use std::ffi::OsStr;
use std::fmt::Display;
use std::fs::File;
use std::future::Future;
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

/// Where this test's servers write their logs: a folder under the system's temporary one, by test program and test.
pub fn logs() -> Result<PathBuf> {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    if let Some(folder) = FOLDER.get() {
        return Ok(folder.clone());
    }
    let program = std::env::current_exe()?;
    let program = program.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    // cargo adds a hash to a test program's name.
    let program = program.rsplit_once('-').map_or(program.clone(), |(name, _)| name.to_owned());
    let test = std::env::var("NEXTEST_TEST_NAME")
        .unwrap_or_else(|_| std::thread::current().name().unwrap_or("main").to_owned());
    let folder = std::env::temp_dir().join("foresail-logs").join(program).join(test.replace(':', "_"));
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("emptying {}", folder.display()))?;
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    Ok(FOLDER.get_or_init(|| folder).clone())
}

/// `NAME.log` in the folder of logs; `NAME-2.log` for the second of a name.
fn log_file(name: &str) -> Result<(PathBuf, File)> {
    let folder = logs()?;
    let mut path = folder.join(format!("{name}.log"));
    let mut number = 1;
    loop {
        match File::options().create_new(true).append(true).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                number += 1;
                path = folder.join(format!("{name}-{number}.log"));
            }
            Err(error) => return Err(error).with_context(|| format!("creating {}", path.display())),
        }
    }
}

fn logging(mut command: Command, output: File) -> Result<Command> {
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).process_group(0);
    Ok(command)
}

/// A running program.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    /// Whether its end is known: it was us, or an error has told it.
    told_of_its_end: bool,
}

impl Process {
    /// Starts `command` (from [`command`]) with its output in a file of this test's folder of logs.
    ///
    /// # Errors
    /// Fails when the program cannot be started.
    pub fn start(name: &str, command: Command) -> Result<Self> {
        let (log, output) = log_file(name)?;
        let child = spawn(logging(command, output)?).with_context(|| format!("starting {name}"))?;
        eprintln!("log of {name}: {}", log.display());
        Ok(Self { name: name.to_owned(), child, log, told_of_its_end: false })
    }

    /// Kills it if it still runs, and starts it again with this command; its log goes on.
    ///
    /// # Errors
    /// Fails when the program cannot be started.
    pub fn start_again(&mut self, command: Command) -> Result<()> {
        self.kill();
        let output = File::options().append(true).open(&self.log)?;
        self.child = spawn(logging(command, output)?).with_context(|| format!("starting {}", self.name))?;
        self.told_of_its_end = false;
        Ok(())
    }

    /// Asks every 50 ms until `probe` answers. A program that ends meanwhile is told at once.
    ///
    /// # Errors
    /// Fails with the end of the log when the program has ended, or when `patience` is over.
    pub async fn answers<T, E, F>(&mut self, patience: Duration, mut probe: impl FnMut() -> F) -> Result<T>
    where
        E: Display,
        F: Future<Output = Result<T, E>>,
    {
        let start = Instant::now();
        loop {
            // First, so that another program that took the port isn't mistaken for this one.
            self.check()?;
            let refusal = match probe().await {
                Ok(value) => return Ok(value),
                Err(refusal) => refusal,
            };
            if start.elapsed() > patience {
                return Err(anyhow!(
                    "{} does not answer after {patience:?}; at last: {refusal:#}\n{}",
                    self.name,
                    self.told()
                ));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until a GET of `url` answers with a status below 400.
    ///
    /// # Errors
    /// As [`Process::answers`].
    pub async fn answers_http(&mut self, url: &str, patience: Duration) -> Result<()> {
        let client = crate::wait::client()?;
        self.answers(patience, || {
            let request = client.get(url).timeout(Duration::from_secs(2));
            async move { request.send().await.and_then(reqwest::Response::error_for_status).map(drop) }
        })
        .await
    }

    /// Waits until something accepts connections on a loopback port.
    ///
    /// # Errors
    /// As [`Process::answers`].
    pub async fn answers_tcp(&mut self, port: u16, patience: Duration) -> Result<()> {
        self.answers(patience, || async move {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.map(drop)
        })
        .await
    }

    /// The end of the log, and where all of it is.
    fn told(&self) -> String {
        format!("--- end of {}\n{}", self.log.display(), self.log_tail(20))
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
            Some(status) => {
                self.told_of_its_end = true;
                Err(anyhow!("{} ended with {status}\n{}", self.name, self.told()))
            }
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
    pub fn ask_to_end(&mut self) {
        self.told_of_its_end = true;
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
        Err(anyhow!("{} did not end within {patience:?} of SIGTERM\n{}", self.name, self.told()))
    }

    /// Kills it (SIGKILL), children included, and waits for its end.
    pub fn kill(&mut self) {
        self.told_of_its_end = true;
        if self.is_running() {
            self.signal(Signal::KILL);
        }
        drop(self.child.wait());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.told_of_its_end
            && let Ok(Some(status)) = self.child.try_wait()
        {
            eprintln!("{} had ended by itself with {status}\n{}", self.name, self.told());
        }
        // The program may have ended while its children live on: the group is what counts.
        self.signal(Signal::KILL);
        drop(self.child.wait());
        if std::thread::panicking() {
            eprintln!("{}: {}", self.name, self.told());
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
