//! The command line, by the binary as people type it: wrong lines, and Ctrl-C.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test, as the tests do")]

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn xtask(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn last_object(output: &Output) -> Value {
    serde_json::from_str(text(&output.stdout).lines().last().unwrap()).unwrap()
}

#[test]
fn what_was_typed_in_place_of_a_pair_is_shown_nowhere() {
    for line in [
        "config default set hunter2",
        "config broker 1 set =hunter2",
        "config topic t set a=b hunter2",
        "topic create t --config hunter2",
        "quota set --user a hunter2",
        "quota set --user a consumer_byte_rate=hunter2",
    ] {
        for json in [&[][..], &["--json"]] {
            let arguments: Vec<&str> = ["change", "--data-dir", "absent"].into_iter().chain(line.split(' ')).collect();
            let output = xtask(&[&arguments, json].concat());
            let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
            assert_eq!(output.status.code(), Some(2), "{line}: {stderr}");
            assert!(!stdout.contains("hunter2") && !stderr.contains("hunter2"), "{line}: {stdout}{stderr}");
            assert!(stderr.contains("next: write"), "{line}: {stderr}");
            assert_eq!(stdout.is_empty(), json.is_empty(), "{line}: {stdout}");
        }
    }
}

#[test]
fn a_line_that_is_not_understood_has_an_object_with_its_verb() {
    for (line, verb) in [("seed --json --replicas 7", "seed"), ("--json change", "change"), ("--json sead", "")] {
        let output = xtask(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(2), "{line}");
        let object = last_object(&output);
        assert_eq!((&object["ok"], &object["verb"]), (&false.into(), &verb.into()), "{line}: {object}");
        assert!(!object["next"].as_array().unwrap().is_empty(), "{line}: {object}");
    }
}

/// Whether the process has a handler of its own for SIGINT.
fn listens_for_ctrl_c(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    // Bit 1 is signal 2.
    u64::from_str_radix(caught.trim(), 16).unwrap() & 0b10 != 0
}

#[tokio::test]
async fn ctrl_c_ends_what_waits_for_a_zookeeper_that_says_nothing() {
    // It takes connections and never answers.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let place = silent.local_addr().unwrap().to_string();
    for verb in ["demo", "seed"] {
        let child = Command::new(env!("CARGO_BIN_EXE_xtask"))
            .args([verb, "--json", "--zookeeper", &place])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        while !listens_for_ctrl_c(child.id()) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        let object = last_object(&output);
        assert_eq!((output.status.code(), &object["error"]), (Some(1), &"interrupted".into()), "{object}");
        assert!(!object["next"].as_array().unwrap().is_empty(), "{object}");
    }
}
