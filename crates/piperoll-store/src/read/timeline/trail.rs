//! Where a trail leads: what is followed next, from what was followed and an event that touches it.
//!
//! Forward from an artifact to what was made of it, and to the runs that it was in; from a run or a commit to what
//! came out of it; along links up to causes, and down to effects. Never from an input to everything else that was
//! made of it, nor from a cause down to its other effects: that would lead to everything.

use super::thing::{Facts, Follows, Role, Thing};

/// What follows from an event that touches `thing`.
pub(in crate::read) fn next_things(thing: &Thing, facts: &Facts) -> Vec<Thing> {
    match thing {
        Thing::Artifact { .. } => of_artifact(thing, facts),
        Thing::Run { follows, .. } => of_run(*follows, facts),
        Thing::Commit(_) => {
            let mut next = outputs(facts, true);
            next.extend(facts.run(Follows::Artifacts));
            next.extend(links(facts));
            next
        }
        Thing::Cause { .. } => causes(facts).collect(),
        Thing::Effect { .. } => effects(facts).collect(),
    }
}

fn of_artifact(thing: &Thing, facts: &Facts) -> Vec<Thing> {
    let is_link = facts.links.iter().any(|(_, id)| Thing::digest(id).as_ref() == Some(thing));
    let roles =
        || facts.artifacts.iter().filter(|(_, digests)| digests.contains(thing)).map(|(role, _)| *role);
    let is_input = is_link || roles().any(|role| role == Role::Input);
    // Other digests of the same thing.
    let same = facts.artifacts.iter().filter(|(_, digests)| digests.contains(thing));
    let mut next: Vec<_> = same.flat_map(|(_, digests)| digests).cloned().collect();
    if is_input {
        next.extend(outputs(facts, true));
    } else if roles().any(|role| role == Role::Unsaid) {
        next.extend(outputs(facts, false));
    }
    next.extend(facts.run(if is_input { Follows::Outputs } else { Follows::Events }));
    next.extend(links(facts));
    next
}

fn of_run(follows: Follows, facts: &Facts) -> Vec<Thing> {
    let mut next: Vec<_> = links(facts).collect();
    if follows != Follows::Events {
        next.extend(outputs(facts, follows == Follows::Artifacts));
    }
    next
}

/// What came out; with what does not say whether it came out or went in, where that is meant too.
fn outputs(facts: &Facts, with_unsaid: bool) -> Vec<Thing> {
    let is_out = |role: Role| role == Role::Output || (with_unsaid && role == Role::Unsaid);
    let out = facts.artifacts.iter().filter(|(role, _)| is_out(*role));
    out.flat_map(|(_, digests)| digests).cloned().collect()
}

fn links(facts: &Facts) -> impl Iterator<Item = Thing> {
    causes(facts).chain(effects(facts))
}

/// What it links to.
fn causes(facts: &Facts) -> impl Iterator<Item = Thing> {
    facts.links.iter().map(|(source, id)| {
        let cause = || Thing::Cause { source: source.clone(), id: id.clone() };
        Thing::digest(id).unwrap_or_else(cause)
    })
}

/// What links to it, with its source and without.
fn effects(facts: &Facts) -> impl Iterator<Item = Thing> {
    let sources = [None, facts.source.clone()];
    let distinct = sources.into_iter().take(if facts.source.is_some() { 2 } else { 1 });
    let id = facts.id.clone();
    distinct.filter_map(move |source| Some(Thing::Effect { source, id: id.clone()? }))
}
