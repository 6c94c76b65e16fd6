//! Which retention class an event belongs to: the first route that matches, else the default class.

use crate::config::{RetentionConfig, Route};
use piperoll_format::{
    event::{EventView, Field},
    names::{Name, NameError},
};
use piperoll_store::Classes;

/// The routes, ready to be asked.
#[derive(Debug)]
pub(crate) struct Router {
    classes: Vec<Name>,
    default: u16,
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    class: u16,
    patterns: Vec<(Field, Glob)>,
}

/// A pattern of a whole value, `*` being any run of characters.
#[derive(Debug)]
struct Glob(Vec<String>);

/// The classes of a batch while its events are checked.
#[derive(Debug, Default)]
pub(crate) struct Routed(Vec<u16>);

impl Router {
    /// Of settings that were checked: every class that is named is there.
    pub(crate) fn new(config: &RetentionConfig) -> Result<Self, NameError> {
        let names = config.classes.iter().map(|class| Name::from_outside(&class.name));
        let classes = names.collect::<Result<Vec<_>, _>>()?;
        let place = |name: &str| classes.iter().position(|class| class.as_str() == name);
        let place = |name: &str| place(name).and_then(|at| u16::try_from(at).ok()).unwrap_or_default();
        let rules =
            config.routes.iter().map(|route| Rule { class: place(&route.class), patterns: patterns(route) });
        Ok(Self { default: place(&config.default_class), rules: rules.collect(), classes })
    }

    /// Routes the next event of a batch.
    pub(crate) fn route(&self, event: EventView<'_>, routed: &mut Routed) {
        let rule = self.rules.iter().find(|rule| {
            rule.patterns
                .iter()
                .all(|(field, glob)| event.text(*field).is_some_and(|text| glob.matches(text)))
        });
        routed.0.push(rule.map_or(self.default, |rule| rule.class));
    }

    /// What the store is told: most batches are of one class.
    pub(crate) fn classes(&self, routed: &Routed) -> Classes {
        let first = routed.0.first().copied().unwrap_or(self.default);
        match self.classes.get(usize::from(first)) {
            Some(class) if routed.0.iter().all(|of_event| *of_event == first) => Classes::One(class.clone()),
            _ => self.split(routed),
        }
    }

    /// Only the classes that are used, numbered anew.
    fn split(&self, routed: &Routed) -> Classes {
        let mut used = routed.0.clone();
        used.sort_unstable();
        used.dedup();
        let place = |of_event: &u16| used.binary_search(of_event).ok().and_then(|at| u16::try_from(at).ok());
        Classes::Each {
            of_event: routed.0.iter().filter_map(place).collect(),
            classes: used.iter().filter_map(|class| self.classes.get(usize::from(*class)).cloned()).collect(),
        }
    }
}

fn patterns(route: &Route) -> Vec<(Field, Glob)> {
    let fields = [
        (Field::Action, &route.action),
        (Field::Stage, &route.stage),
        (Field::Repo, &route.repo),
        (Field::Environment, &route.environment),
    ];
    fields
        .into_iter()
        .filter_map(|(field, text)| text.as_deref().map(|text| (field, Glob::new(text))))
        .collect()
}

impl Glob {
    fn new(text: &str) -> Self {
        Self(text.split('*').map(str::to_owned).collect())
    }

    fn matches(&self, text: &str) -> bool {
        let [first, middle @ .., last] = self.0.as_slice() else {
            return self.0.iter().all(|only| only == text);
        };
        let inner = text.strip_prefix(first.as_str()).and_then(|rest| rest.strip_suffix(last.as_str()));
        let found =
            |rest: &str, piece: &String| rest.split_once(piece.as_str()).map(|(_, after)| after.len());
        inner.is_some_and(|inner| {
            middle
                .iter()
                .try_fold(inner.len(), |left, piece| found(inner.get(inner.len() - left..)?, piece))
                .is_some()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ClassRule, Keep};
    use piperoll_format::event::check_event;
    use piperoll_proto::v1::Event;
    use prost::Message as _;

    fn check(pattern: &str, text: &str, expected: bool) {
        assert_eq!(Glob::new(pattern).matches(text), expected, "{pattern} on {text}");
    }

    #[test]
    fn a_star_is_any_run_of_characters() {
        check("deploy", "deploy", true);
        check("deploy", "deployed", false);
        check("deploy.*", "deploy.approved", true);
        check("deploy.*", "deploy.", true);
        check("deploy.*", "deploy", false);
        check("*", "", true);
        check("*", "ünï", true);
        check("*.failed", "run.failed", true);
        check("a*b*c", "a-b-b-c", true);
        check("a*b*c", "a-c-b", false);
        check("a*a", "a", false);
        check("a**a", "aa", true);
        check("*b*", "abc", true);
        check("*b*b*", "abc", false);
    }

    fn router(routes: &[Route]) -> Router {
        let class = |name: &str| ClassRule { name: name.to_owned(), keep: Keep(None) };
        let config = RetentionConfig {
            default_class: "normal".to_owned(),
            classes: vec![class("long"), class("normal"), class("short")],
            routes: routes.to_vec(),
            ..RetentionConfig::default()
        };
        Router::new(&config).unwrap()
    }

    fn routed(router: &Router, events: &[(&str, &str)]) -> Classes {
        let mut routed = Routed::default();
        for (action, stage) in events {
            let stage = (!stage.is_empty()).then(|| (*stage).to_owned());
            let event =
                Event { actor: Some("a".into()), action: Some((*action).into()), stage, ..Event::default() };
            router.route(check_event(&event.encode_to_vec()).unwrap(), &mut routed);
        }
        router.classes(&routed)
    }

    #[test]
    fn the_first_route_that_matches_decides() {
        let name = |text: &str| Name::from_outside(text).unwrap();
        let pattern = |text: &str| Some(text.to_owned());
        let router = router(&[
            Route {
                class: "short".into(),
                action: pattern("x.*"),
                stage: pattern("test"),
                ..Route::default()
            },
            Route { class: "long".into(), action: pattern("x.*"), ..Route::default() },
        ]);
        assert_eq!(routed(&router, &[("x.a", "test"), ("x.b", "test")]), Classes::One(name("short")));
        assert_eq!(
            routed(&router, &[("x.a", "")]),
            Classes::One(name("long")),
            "an absent stage matches no pattern"
        );
        assert_eq!(routed(&router, &[("y", "test")]), Classes::One(name("normal")));
        let Classes::Each { classes, of_event } = routed(&router, &[("y", ""), ("x.a", "test"), ("x.a", "")])
        else {
            panic!("three classes are not one");
        };
        let named: Vec<_> = of_event.iter().map(|at| classes[usize::from(*at)].to_string()).collect();
        assert_eq!(named, ["normal", "short", "long"]);
        let Classes::Each { classes, of_event } = routed(&router, &[("y", ""), ("x.a", "test"), ("y", "")])
        else {
            panic!("two classes are not one");
        };
        assert_eq!(
            (classes, of_event),
            (vec![name("normal"), name("short")], vec![0, 1, 0]),
            "only what is used"
        );
    }
}
