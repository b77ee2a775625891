//! No node survives what it was started for.

use std::env;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use subrosa_devnet::{Devnet, DevnetOptions};

/// Set for the process that [`a_node_dies_with_a_process_that_is_killed`] starts and kills.
const VICTIM: &str = "SUBROSA_DEVNET_TEST_VICTIM";

/// A node that is not killed within this time never will be.
const END_TIME: Duration = Duration::from_secs(20);

fn address(devnet: &Devnet) -> String {
    let rpc = &devnet.network().chain.as_ref().unwrap().rpc;
    rpc.strip_prefix("http://").unwrap().to_owned()
}

/// Returns when nobody listens there any more. A node that dies closes its sockets in any order, so
/// a connection may still come about; but it ends.
fn await_end(mut connection: TcpStream, address: &str) {
    loop {
        connection.set_read_timeout(Some(END_TIME)).unwrap();
        match connection.read(&mut [0]) {
            Ok(0) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("the node lives on: {other:?}"),
        }
        match TcpStream::connect(address) {
            Ok(another) => connection = another,
            Err(_) => return,
        }
    }
}

#[tokio::test]
async fn a_node_and_its_temporary_folder_are_gone_after_drop() {
    let devnet = Devnet::start(DevnetOptions::default()).await.unwrap();
    let (address, folder) = (address(&devnet), devnet.folder().to_owned());
    assert!(TcpStream::connect(&address).is_ok());
    assert!(folder.join("network.toml").is_file());
    drop(devnet);
    assert!(TcpStream::connect(&address).is_err());
    assert!(!folder.exists());
}

#[test]
fn a_node_dies_with_a_process_that_is_killed() {
    let mut victim = Command::new(env::current_exe().unwrap())
        .args(["--exact", "a_victim_waits_to_be_killed", "--ignored", "--nocapture"])
        .env(VICTIM, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(victim.stdout.take().unwrap());
    let address = output
        .lines()
        .find_map(|line| line.unwrap().split_once("node at ").map(|(_, rest)| rest.to_owned()))
        .expect("the victim starts a node");
    let connection = TcpStream::connect(&address).unwrap();
    victim.kill().unwrap();
    victim.wait().unwrap();
    await_end(connection, &address);
}

/// Not a test of its own: what the test above kills.
#[tokio::test]
#[ignore = "started by a_node_dies_with_a_process_that_is_killed"]
#[allow(clippy::print_stdout, reason = "the parent reads the line")]
async fn a_victim_waits_to_be_killed() {
    if env::var_os(VICTIM).is_none() {
        return;
    }
    let devnet = Devnet::start(DevnetOptions::default()).await.unwrap();
    println!("node at {}", address(&devnet));
    // Until it is killed; or until whoever started it is gone.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_in_the_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let options =
        DevnetOptions { port, folder: Some(folder.path().to_owned()), ..DevnetOptions::default() };
    let error = Devnet::start(options).await.err().expect("the port is taken").to_string();
    assert!(error.contains("Address already in use"), "{error}");
}
