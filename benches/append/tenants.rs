//! The same load into one log and into 24 tenants × 4 classes, in turns.

use crate::{
    Bench,
    messages::Shape,
    per_million,
    report::print,
    subject::{Measured, Subject},
};
use anyhow::Result;
use piperoll_server::{ClassRule, Config, Keep, Route};

const SECONDS: f64 = 5.0;
const TURNS: u32 = 8;
/// Of the rate of one log.
const RATIOS: [f64; 2] = [0.5, 0.5];

/// The head of the table.
pub(crate) fn print_head() -> Result<()> {
    print("\n## Tenants: the same load into 24 tenants × 4 classes; closed loop, rates in events/s\n")?;
    print("| events a message | logs | many logs | one log | ratio | server | server of one log |")?;
    print("|---|---|---|---|---|---|---|")
}

/// One shape.
pub(crate) fn case(bench: &Bench, shape: Shape) -> Result<()> {
    let one = bench.samples.one_tenant(shape);
    let many = bench.samples.by_tenant(shape)?;
    let slice = bench.seconds(SECONDS)? / TURNS;
    let one_log = Subject::start(bench, |_| {})?;
    let many_logs = Subject::start(bench, route)?;
    // The logs are made before they are measured.
    one_log.slice(&one, slice)?;
    many_logs.slice(&many, slice)?;
    let (mut of_one, mut of_many) = (Measured::default(), Measured::default());
    for _ in 0..TURNS {
        of_one.add(one_log.slice(&one, slice)?);
        of_many.add(many_logs.slice(&many, slice)?);
    }
    let logs = many_logs.scrape()?.logs()?;
    one_log.stop()?;
    many_logs.stop()?;
    let ratio = of_many.outcome.rate() / of_one.outcome.rate();
    let server = |of: &Measured| per_million(of.processor.server, of.outcome.events);
    print(&format!(
        "| {shape} | {logs:.0} | {:.0} | {:.0} | {ratio:.2} | {:.2} | {:.2} |",
        of_many.outcome.rate(),
        of_one.outcome.rate(),
        server(&of_many),
        server(&of_one),
    ))?;
    bench.keep(&format!("append {shape} 24 tenants × 4 classes"), ratio, "of one log", RATIOS)
}

/// Four classes, each with a good part of the events.
fn route(config: &mut Config) {
    let class = |name: &str| ClassRule { name: name.to_owned(), keep: Keep(None) };
    config.retention.classes.extend(["deploys", "artifacts", "steps"].map(class));
    let route = |class: &str| Route { class: class.to_owned(), ..Route::default() };
    config.retention.routes = vec![
        Route { environment: Some("*".to_owned()), ..route("deploys") },
        Route { action: Some("artifact.*".to_owned()), ..route("artifacts") },
        Route { action: Some("step.*".to_owned()), ..route("steps") },
    ];
}
