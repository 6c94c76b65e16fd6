//! The engine on a machine of another time: what makes a data directory whose entries are old.

use bytes::Bytes;
use piperoll_format::names::Name;
use piperoll_format::request::check_batch;
use piperoll_format::units::UnixNanos;
use piperoll_proto::v1::AppendRequest;
use piperoll_store::os::OsDisk;
use piperoll_store::{Batch, Classes, Clock, Entropy, Moment, Opened, Options, Sender, open};
use prost::Message as _;
use std::path::Path;
use std::sync::{Arc, mpsc};

/// A machine whose clock stands at so many Unix nanoseconds.
struct Past(i64);

impl Clock for Past {
    fn now(&self) -> Moment {
        Moment { wall: UnixNanos(self.0), monotonic_ns: 0 }
    }

    fn is_synchronised(&self) -> bool {
        true
    }
}

impl Entropy for Past {
    fn fill(&self, into: &mut [u8]) {
        getrandom::fill(into).unwrap();
    }
}

/// The engine on the new directory `data`, at so many Unix nanoseconds.
pub(crate) fn engine(data: &Path, now_ns: i64) -> Opened<OsDisk> {
    std::fs::create_dir(data).unwrap();
    let disk = OsDisk::open(data).unwrap();
    open(disk, Options::default(), Arc::new(Past(now_ns)), Arc::new(Past(now_ns))).unwrap()
}

/// Stores a request as the daemon would that knows no identities.
pub(crate) fn store(engine: &Opened<OsDisk>, class: &str, request: &AppendRequest) {
    let name = |text| Name::from_outside(text).unwrap();
    let batch = Batch {
        tenant: name("default"),
        sender: Arc::new(Sender::new("anonymous", 0, "", "grpc").unwrap()),
        request: check_batch(Bytes::from(request.encode_to_vec()), &mut |_, _| ()).unwrap(),
        classes: Classes::One(name(class)),
    };
    let (sent, outcome) = mpsc::channel();
    engine.appender.submit(batch, Box::new(move |result| sent.send(result).unwrap()));
    engine.keeper.commit_all();
    outcome.recv().unwrap().unwrap();
}
