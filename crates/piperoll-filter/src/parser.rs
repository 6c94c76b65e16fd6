//! Reads a filter: OR of ANDs of NOTs of comparisons, by descent that is bounded in depth.

use crate::{
    DEPTH_MAX, PATTERNS_MAX, TEXT_BYTES_MAX, VALUES_MAX,
    contradiction::Conjunction,
    error::{ParseError, Wrong, shown},
    expression::{Comparison, Expression, Filter, Operator, Test},
    lexer::{Keyword, Lexer, Word},
    needle::Needle,
    subject::Subject,
    value::{self, Value},
};
use piperoll_format::{event::Kind, units::UnixNanos};

/// Reads a filter; nothing but spaces is every event. `now` is what relative times count from. Fails, with
/// the place, on what is no filter, on more than a limit allows, and on conditions joined by AND that no
/// event can meet.
pub fn parse(text: &str, now: UnixNanos) -> Result<Filter, ParseError> {
    let length = |bytes: usize, what: &str| {
        let found = format!("{what} of {bytes} bytes");
        ParseError::new("", 0, found, Wrong::expected(format!("a filter of at most {TEXT_BYTES_MAX} bytes")))
    };
    if text.len() > TEXT_BYTES_MAX {
        return Err(length(text.len(), "one"));
    }
    let mut parser = Parser { lexer: Lexer::new(text), now, values: 0, patterns: 0, depth: 0 };
    if parser.lexer.peek().is_none() {
        return Ok(Filter::all());
    }
    let expression = parser.any()?;
    if parser.lexer.peek().is_some() {
        return Err(parser.trailing());
    }
    // Canonical text writes times and numbers out, so it can be longer than what was typed; it must still be
    // a filter.
    if expression.nesting() > DEPTH_MAX {
        return Err(parser.too_deep());
    }
    let canonical = expression.to_string().len();
    if canonical > TEXT_BYTES_MAX {
        return Err(length(canonical, "one that is written out"));
    }
    Ok(Filter(expression))
}

/// The test that a builder asks for.
pub(crate) fn test(subject: &Subject, operator: Operator, text: &str, now: UnixNanos) -> Result<Test, Wrong> {
    comparable(subject)?;
    let equality = matches!(operator, Operator::Equal | Operator::NotEqual);
    if equality {
        no_day(subject, text)?;
    } else {
        ordered(subject)?;
    }
    let value = value::typed(subject, text, now)?;
    Ok(match operator {
        Operator::Equal => Test::one_of(vec![value]),
        Operator::NotEqual => Test::none_of(vec![value]),
        Operator::Less => Test::Less(value),
        Operator::AtMost => Test::AtMost(value),
        Operator::More => Test::More(value),
        Operator::AtLeast => Test::AtLeast(value),
    })
}

/// Fails where the subject is the whole map of attributes.
fn comparable(subject: &Subject) -> Result<(), Wrong> {
    if subject.kind() == Kind::Map && matches!(subject, Subject::Field(_)) {
        let wrong = Wrong::expected("`:*`, for attributes are compared one by one");
        return Err(wrong.hint("write attr.KEY for the attribute KEY"));
    }
    Ok(())
}

/// Fails where the subject's values have no order.
fn ordered(subject: &Subject) -> Result<(), Wrong> {
    if matches!(subject.kind(), Kind::Time | Kind::Number) {
        return Ok(());
    }
    let wrong = Wrong::expected(format!("one of {}, for {subject} has no order", operators_of(subject)));
    Err(wrong.hint("only time, received, run_attempt, source_epoch and source_sequence have one"))
}

/// Fails where a whole day is given and one instant is asked for.
fn no_day(subject: &Subject, text: &str) -> Result<(), Wrong> {
    if subject.kind() == Kind::Time && value::is_day(text) {
        let wrong = Wrong::expected("one instant, such as 2026-11-23T08:00:00Z");
        return Err(
            wrong.hint(format!("for that day write {subject} >= {text} AND {subject} < the next day"))
        );
    }
    Ok(())
}

/// Whether the subject's values are texts, which have beginnings and parts to look for.
fn is_text(subject: &Subject) -> bool {
    matches!(subject.kind(), Kind::Text | Kind::Texts | Kind::Links)
        || matches!(subject, Subject::Attribute(_))
}

/// The test for `begin*`; a star alone is presence.
pub(crate) fn prefix_test(subject: &Subject, begin: &str) -> Result<Test, Wrong> {
    comparable(subject)?;
    match begin {
        "" => Ok(Test::Present),
        _ if is_text(subject) => Ok(Test::Prefix(begin.to_owned())),
        _ => Err(Wrong::expected(format!("a whole value, for {subject} is no text"))),
    }
}

/// The test for `~ text`.
pub(crate) fn substring_test(subject: &Subject, text: &str) -> Result<Test, Wrong> {
    searchable(subject)?;
    if text.is_empty() {
        let wrong = Wrong::expected("some text to search for");
        return Err(wrong.hint(format!("write {subject}:* for every event that has one")));
    }
    Ok(Test::Contains(Needle::new(text.to_owned())))
}

/// Fails where the subject's values have no parts to look for.
fn searchable(subject: &Subject) -> Result<(), Wrong> {
    comparable(subject)?;
    if is_text(subject) {
        return Ok(());
    }
    let wrong = Wrong::expected(format!("another test than ~, for {subject} is no text"));
    Err(wrong.hint("write = for a whole value"))
}

struct Parser<'t> {
    lexer: Lexer<'t>,
    now: UnixNanos,
    /// Values and presences so far.
    values: usize,
    /// Beginnings and substrings so far.
    patterns: usize,
    /// Brackets and NOTs that are open.
    depth: usize,
}

impl Parser<'_> {
    /// `a OR b OR c`
    fn any(&mut self) -> Result<Expression, ParseError> {
        let mut parts = vec![self.every()?];
        while self.lexer.eat_keyword(Keyword::Or) {
            parts.push(self.every()?);
        }
        Ok(Expression::or(parts))
    }

    /// `a AND b AND c`
    fn every(&mut self) -> Result<Expression, ParseError> {
        let mut places = Vec::new();
        let mut parts = Vec::new();
        loop {
            places.push(self.lexer.place());
            parts.push(self.one()?);
            if !self.lexer.eat_keyword(Keyword::And) {
                break;
            }
        }
        let mut conjunction = Conjunction::default();
        for (at, part) in places.into_iter().zip(&parts) {
            if let Err((found, wrong)) = conjunction.add(part) {
                return Err(self.lexer.error_at(at, found, wrong));
            }
        }
        Ok(Expression::and(parts))
    }

    /// `NOT a`, `(a)`, `*` or a comparison.
    fn one(&mut self) -> Result<Expression, ParseError> {
        if self.lexer.eat_keyword(Keyword::Not) {
            return self.deeper(Self::one).map(Expression::negate);
        }
        if self.lexer.eat("(") {
            let inner = self.deeper(Self::any)?;
            if !self.lexer.eat(")") {
                return Err(self.lexer.error(Wrong::expected("AND, OR or the closing `)`")));
            }
            return Ok(inner);
        }
        if self.lexer.eat("*") {
            return Ok(Expression::All);
        }
        self.comparison()
    }

    fn deeper(
        &mut self,
        inner: fn(&mut Self) -> Result<Expression, ParseError>,
    ) -> Result<Expression, ParseError> {
        if self.depth == DEPTH_MAX {
            return Err(self.too_deep());
        }
        self.depth += 1;
        let expression = inner(self)?;
        self.depth -= 1;
        Ok(expression)
    }

    fn comparison(&mut self) -> Result<Expression, ParseError> {
        let subject = self.lexer.subject()?;
        if self.lexer.eat(":") {
            return self.presence(subject);
        }
        let before = self.lexer;
        let refuse = |wrong| before.error(wrong);
        let negated = self.lexer.eat_keyword(Keyword::Not);
        if self.lexer.eat_keyword(Keyword::In) {
            comparable(&subject).map_err(refuse)?;
            return self.values(&subject, negated);
        }
        if let Some(hint) = before.mistaken_operator(&subject) {
            return Err(refuse(no_operator(&subject).hint(hint)));
        }
        if !negated && self.lexer.eat("~") {
            searchable(&subject).map_err(refuse)?;
            return self.substring(subject);
        }
        let Some(operator) = self.operator().filter(|_| !negated) else {
            return Err(refuse(no_operator(&subject)));
        };
        comparable(&subject).map_err(refuse)?;
        let equality = matches!(operator, Operator::Equal | Operator::NotEqual);
        if !equality {
            ordered(&subject).map_err(refuse)?;
        }
        let word = self.word(&subject)?;
        let test = match (word.star, operator) {
            (true, Operator::Equal) => self.prefix(&subject, &word)?,
            (true, _) => return Err(self.star_misplaced(&word)),
            (false, _) => test(&subject, operator, &word.text, self.now)
                .map_err(|wrong| self.lexer.error_at(word.at, shown(&word.text), wrong))?,
        };
        Ok(Expression::Compare(Comparison { subject, test }))
    }

    /// What follows `field:`.
    fn presence(&mut self, subject: Subject) -> Result<Expression, ParseError> {
        let at = self.lexer.place();
        if !self.lexer.eat("*") {
            let wrong = Wrong::expected("`*`, as in actor:*, which asks whether the field is there");
            let hint =
                if is_text(&subject) { "write = to compare, ~ to search" } else { "write = to compare" };
            return Err(self.lexer.error(wrong.hint(hint)));
        }
        self.count(at)?;
        Ok(Expression::Compare(Comparison { subject, test: Test::Present }))
    }

    /// What follows `~`.
    fn substring(&mut self, subject: Subject) -> Result<Expression, ParseError> {
        let word = self.word(&subject)?;
        if word.star {
            let wrong = Wrong::expected("text without `*`, for ~ finds it anywhere");
            let found = shown(&format!("{}*", word.text));
            return Err(self.lexer.error_at(word.at, found, wrong.hint("write = for a beginning")));
        }
        self.count_pattern(word.at)?;
        let test = substring_test(&subject, &word.text)
            .map_err(|wrong| self.lexer.error_at(word.at, shown(&word.text), wrong))?;
        Ok(Expression::Compare(Comparison { subject, test }))
    }

    /// Takes a value and counts it.
    fn word(&mut self, subject: &Subject) -> Result<Word, ParseError> {
        let word = self.lexer.value(value::example(subject))?;
        self.count(word.at)?;
        Ok(word)
    }

    fn operator(&mut self) -> Option<Operator> {
        // The longer ones first: `<` begins `<=`.
        let operators = [
            ("=", Operator::Equal),
            ("!=", Operator::NotEqual),
            ("<=", Operator::AtMost),
            ("<", Operator::Less),
            (">=", Operator::AtLeast),
            (">", Operator::More),
        ];
        operators.into_iter().find(|(symbol, _)| self.lexer.eat(symbol)).map(|(_, operator)| operator)
    }

    /// What follows IN.
    fn values(&mut self, subject: &Subject, negated: bool) -> Result<Expression, ParseError> {
        if !self.lexer.eat("(") {
            return Err(self.lexer.error(Wrong::expected("`(` and values, as in IN (deploy, sign)")));
        }
        let mut whole = Vec::new();
        let mut tests = Vec::new();
        loop {
            let word = self.word(subject)?;
            match word.star {
                true if negated => return Err(self.star_misplaced(&word)),
                true => tests.push(self.prefix(subject, &word)?),
                false => whole.push(self.element(subject, &word)?),
            }
            if self.lexer.eat(")") {
                break;
            }
            if !self.lexer.eat(",") {
                return Err(self.lexer.error(Wrong::expected("`,` or `)`")));
            }
        }
        if negated {
            tests.push(Test::none_of(whole));
        } else if !whole.is_empty() {
            tests.push(Test::one_of(whole));
        }
        let comparisons = tests.into_iter().map(|test| Comparison { subject: subject.clone(), test });
        Ok(Expression::or(comparisons.map(Expression::Compare)))
    }

    fn element(&self, subject: &Subject, word: &Word) -> Result<Value, ParseError> {
        no_day(subject, &word.text)
            .and_then(|()| value::typed(subject, &word.text, self.now))
            .map_err(|wrong| self.lexer.error_at(word.at, shown(&word.text), wrong))
    }

    /// The test for `text*`; a star alone is presence.
    fn prefix(&mut self, subject: &Subject, word: &Word) -> Result<Test, ParseError> {
        self.count_pattern(word.at)?;
        prefix_test(subject, &word.text)
            .map_err(|wrong| self.lexer.error_at(word.at, shown(&format!("{}*", word.text)), wrong))
    }

    fn star_misplaced(&self, word: &Word) -> ParseError {
        let wrong = Wrong::expected("a whole value, for `*` follows = and IN only");
        self.lexer.error_at(
            word.at,
            shown(&format!("{}*", word.text)),
            wrong.hint("write NOT field = begin*"),
        )
    }

    /// Counts one value more.
    fn count(&mut self, at: usize) -> Result<(), ParseError> {
        self.values += 1;
        if self.values > VALUES_MAX {
            let wrong = Wrong::expected(format!("at most {VALUES_MAX} values in a filter"));
            return Err(self.lexer.error_at(at, "one more".to_owned(), wrong));
        }
        Ok(())
    }

    /// Counts one beginning or substring more.
    fn count_pattern(&mut self, at: usize) -> Result<(), ParseError> {
        self.patterns += 1;
        if self.patterns > PATTERNS_MAX {
            let wrong =
                Wrong::expected(format!("at most {PATTERNS_MAX} beginnings and substrings in a filter"));
            return Err(self.lexer.error_at(at, "one more".to_owned(), wrong));
        }
        Ok(())
    }

    fn too_deep(&mut self) -> ParseError {
        let at = self.lexer.place();
        let wrong = Wrong::expected(format!("at most {DEPTH_MAX} brackets and NOTs around a condition"));
        self.lexer.error_at(at, "more".to_owned(), wrong)
    }

    /// The error that a whole filter is followed by something.
    fn trailing(&mut self) -> ParseError {
        let wrong = Wrong::expected("AND, OR or the end");
        let wrong = match self.lexer.peek() {
            Some('&') => wrong.hint("write AND"),
            Some('|') => wrong.hint("write OR"),
            Some(')') => wrong.hint("there is no `(` for it"),
            _ => wrong.hint("join conditions with AND or OR, and put quotes around a value with spaces"),
        };
        self.lexer.error(wrong)
    }
}

/// What may follow the subject.
fn operators_of(subject: &Subject) -> &'static str {
    match subject.kind() {
        Kind::Map if matches!(subject, Subject::Field(_)) => ":*",
        Kind::Time | Kind::Number => "= != < <= > >= IN, NOT IN or :*",
        _ if is_text(subject) => "= != ~ IN, NOT IN or :*",
        _ => "= != IN, NOT IN or :*",
    }
}

fn no_operator(subject: &Subject) -> Wrong {
    Wrong::expected(format!("one of {}", operators_of(subject)))
}
