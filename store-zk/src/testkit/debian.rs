//! Packages of Debian, installed where we may.

use std::path::Path;
use std::process::Command;

/// Installs packages, as root on Debian. `say` is told before.
///
/// # Errors
/// This is no Debian, we are not root, or apt-get can't do it.
pub(super) fn install(packages: &[&str], say: &dyn Fn(&str)) -> Result<(), String> {
    if !Path::new("/etc/debian_version").exists() {
        return Err("this is no Debian to install packages on".to_owned());
    }
    let user = Command::new("id").arg("-u").output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    if user.is_ok_and(|user| user.trim() != "0") {
        return Err("installing packages needs root".to_owned());
    }
    say(&format!("installing {} with apt-get", packages.join(" and ")));
    // An old package list is better than none: only the installation has to succeed.
    _ = apt_get(&["update"]);
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(packages);
    apt_get(&arguments)
}

fn apt_get(arguments: &[&str]) -> Result<(), String> {
    let run = Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive").output();
    match run {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            let last = errors.lines().last().unwrap_or("no reason given");
            Err(format!("apt-get {} failed: {last}", arguments.join(" ")))
        }
        Err(error) => Err(format!("apt-get can't be run: {error}")),
    }
}
