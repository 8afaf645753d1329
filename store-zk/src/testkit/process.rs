//! A child process that doesn't outlive us.

use std::io;
use std::process::{Command, ExitStatus};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

/// What the thread that owns the child is asked.
enum Order {
    /// Has it ended by itself?
    Poll(Sender<Option<ExitStatus>>),
}

/// A running child. Dropping it kills the child and waits for its end.
///
/// The child belongs to a thread of its own that lives as long as this value, because the kernel sends the
/// parent-death signal, where there is one, when the *thread* that started the child ends.
pub struct Process {
    pid: u32,
    /// `None` once stopped; hanging up means: kill.
    orders: Option<Sender<Order>>,
    owner: Option<JoinHandle<()>>,
}

impl Process {
    /// Starts a program. On Linux with `setpriv` it also dies when we are killed.
    ///
    /// # Errors
    /// It can't be started.
    pub fn spawn(program: &str, arguments: &[String], configure: impl FnOnce(&mut Command)) -> io::Result<Self> {
        let mut command = if has_setpriv() {
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "KILL", program]);
            command
        } else {
            Command::new(program)
        };
        command.args(arguments);
        configure(&mut command);
        let (orders, received) = mpsc::channel();
        let (started, start) = mpsc::channel();
        let owner = std::thread::Builder::new()
            .name("server-process".to_owned())
            .spawn(move || own(command, &started, &received))?;
        match start.recv() {
            Ok(Ok(pid)) => Ok(Self { pid, orders: Some(orders), owner: Some(owner) }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::Error::other("the thread that starts the process ended early")),
        }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// How it ended, if it ended by itself.
    pub fn ended(&self) -> Option<ExitStatus> {
        let (answer, answered) = mpsc::channel();
        self.orders.as_ref()?.send(Order::Poll(answer)).ok()?;
        answered.recv().ok().flatten()
    }

    /// Sends a signal by name, as `STOP`.
    ///
    /// # Errors
    /// It is gone, or there is no `kill` on the PATH.
    pub fn signal(&self, name: &str) -> io::Result<()> {
        let sent = Command::new("kill").args([format!("-{name}"), self.pid.to_string()]).status()?;
        if sent.success() { Ok(()) } else { Err(io::Error::other(format!("kill -{name} {} failed", self.pid))) }
    }
}

impl Drop for Process {
    /// Kills it (SIGKILL) and waits until it is gone, a matter of milliseconds.
    fn drop(&mut self) {
        self.orders.take();
        if let Some(owner) = self.owner.take() {
            // A panic of the owner has nothing to tell us here.
            _ = owner.join();
        }
    }
}

fn own(mut command: Command, started: &Sender<io::Result<u32>>, orders: &Receiver<Order>) {
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            _ = started.send(Err(error));
            return;
        }
    };
    if started.send(Ok(child.id())).is_ok() {
        while let Ok(Order::Poll(answer)) = orders.recv() {
            _ = answer.send(child.try_wait().ok().flatten());
        }
    }
    // Both fail only when it is gone already.
    _ = child.kill();
    _ = child.wait();
}

fn has_setpriv() -> bool {
    Command::new("setpriv").arg("--version").output().is_ok_and(|output| output.status.success())
}
