//! Two processes in one: sockets change hands, or stay where they are.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};

use super::*;

/// How long anything may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);
const NAME: &str = "--listen";

struct Old {
    _dir: tempfile::TempDir,
    path: PathBuf,
    /// Kept as long as it would accept.
    listener: TcpListener,
    yielded: JoinHandle<()>,
}

impl Old {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("handover.sock");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut offer = Offer::bind(&path).unwrap();
        offer.publish().unwrap();
        let socket = listener.as_fd().try_clone_to_owned().unwrap();
        let yielded = tokio::spawn(async move {
            offer.taken_over(&[(NAME, socket)], || "left behind\nin two lines".to_owned()).await;
        });
        Self { _dir: dir, path, listener, yielded }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    async fn find(&self) -> Predecessor {
        Predecessor::find(&self.path).await.unwrap().expect("the old process answers")
    }

    /// Whether it still gives its sockets away.
    async fn check_goes_on(&self) {
        assert!(!self.yielded.is_finished());
        let mut predecessor = self.find().await;
        let taken = predecessor.take(NAME, &self.address().to_string()).await.unwrap();
        assert_eq!(taken.unwrap().local_addr().unwrap(), self.address());
    }
}

#[tokio::test]
async fn a_socket_changes_hands_and_no_connection_is_lost() {
    let old = Old::start().await;
    let address = old.address();
    let mut predecessor = old.find().await;
    let taken = predecessor.take(NAME, &address.to_string()).await.unwrap().unwrap();
    // It waits in the queue while nobody accepts.
    let mut waiting = TcpStream::connect(address).await.unwrap();
    assert_eq!(predecessor.release().await.unwrap(), "left behind\nin two lines");
    tokio::time::timeout(PATIENCE, old.yielded).await.expect("it yields").unwrap();
    drop(old.listener);
    let (mut accepted, _) = taken.accept().await.unwrap();
    accepted.write_all(b"hello").await.unwrap();
    let mut greeting = [0; 5];
    waiting.read_exact(&mut greeting).await.unwrap();
    assert_eq!(&greeting, b"hello");
    TcpStream::connect(address).await.unwrap();
}

#[tokio::test]
async fn a_successor_that_is_lost_before_it_is_ready_changes_nothing() {
    let old = Old::start().await;
    drop(old.find().await);
    old.check_goes_on().await;
}

#[tokio::test]
async fn who_speaks_another_protocol_gets_nothing() {
    let old = Old::start().await;
    for bytes in [&b"\0\0\0\x05steal"[..], b"\xff\xff\xff\xff", b"\0\0\0\x02\xff\xff", b"GET"] {
        let mut stream = UnixStream::connect(&old.path).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        drop(stream);
        old.check_goes_on().await;
    }
}

#[tokio::test]
async fn another_version_is_refused_with_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("handover.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let other = async {
        let (stream, _) = listener.accept().await.unwrap();
        message::send(&stream, "strife-handover 2 --listen", &[], PATIENCE).await.unwrap();
    };
    let (found, ()) = tokio::join!(Predecessor::find(&path), other);
    let error = found.err().unwrap().to_string();
    assert!(error.contains("another protocol") && error.contains("stop it first"), "{error}");
    assert!(!error.contains('\n'), "{error}");
}

#[tokio::test]
async fn nobody_at_the_path_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("handover.sock");
    assert!(Predecessor::find(&path).await.unwrap().is_none());
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "a socket was left behind");
    assert!(Predecessor::find(&path).await.unwrap().is_none());
    Offer::bind(&path).unwrap().publish().unwrap();
}

#[tokio::test]
async fn a_file_of_another_kind_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("precious");
    fs::write(&path, "precious").unwrap();
    for refused in [Predecessor::find(&path).await.err(), Offer::bind(&path).err()] {
        let error = refused.unwrap().to_string();
        assert!(error.contains("is no socket"), "{error}");
    }
    assert_eq!(fs::read(&path).unwrap(), b"precious");
}

#[tokio::test]
async fn a_path_that_cannot_be_is_said() {
    let dir = tempfile::tempdir().unwrap();
    for path in [dir.path().join("x".repeat(200)), dir.path().join("nowhere/handover.sock")] {
        assert!(Predecessor::find(&path).await.unwrap().is_none());
        let error = Offer::bind(&path).err().unwrap().to_string();
        assert!(error.contains("cannot listen at") && error.contains("--handover"), "{error}");
    }
}

#[tokio::test]
async fn the_socket_is_its_owners_only_and_leaves_nothing_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("handover.sock");
    let mut offer = Offer::bind(&path).unwrap();
    assert!(!path.exists(), "it is not published yet");
    offer.publish().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    drop(Offer::bind(&path).unwrap());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_socket_of_another_address_or_name_is_not_taken() {
    let old = Old::start().await;
    let mut predecessor = old.find().await;
    let port = old.address().port();
    let mut check = async |name: &str, address: String, expected: bool| {
        let taken = predecessor.take(name, &address).await.unwrap();
        assert_eq!(taken.is_some(), expected, "{name} {address}");
    };
    check(NAME, format!("127.0.0.1:{}", port ^ 1), false).await;
    check(NAME, format!("127.0.0.2:{port}"), false).await;
    check("--control", format!("127.0.0.1:{port}"), false).await;
    check(NAME, "127.0.0.1:0".to_owned(), true).await;
}

/// A process that is asked for its sockets and then says no more; whether it still answers.
async fn release_from_a_silent_one(answers: bool) -> Result<String, Failure> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("handover.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let greet = async {
        let (stream, _) = listener.accept().await.unwrap();
        message::send(&stream, GREETING, &[], PATIENCE).await.unwrap();
    };
    let (found, ()) = tokio::join!(Predecessor::find(&path), greet);
    let listener = Some(listener).filter(|_| answers);
    let released = found.unwrap().unwrap().release().await;
    drop(listener);
    released
}

#[tokio::test]
async fn one_that_lost_its_patience_goes_on_alone() {
    let error = release_from_a_silent_one(true).await.err().unwrap().to_string();
    assert!(error.contains("goes on serving") && error.contains("start this one again"), "{error}");
}

#[tokio::test]
async fn one_that_ended_by_itself_leaves_its_sockets() {
    assert_eq!(release_from_a_silent_one(false).await.unwrap(), "");
}
