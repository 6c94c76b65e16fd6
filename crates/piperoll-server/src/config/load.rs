//! Where the settings come from: flags over the environment over `piperoll.toml` over the defaults, and for
//! each one which of them it was.

use super::{Config, check};
use figment::{
    Figment, Metadata, Profile, Provider,
    providers::{Format as _, Serialized, Toml},
    value::{Dict, Map, Value},
};
use std::{
    env,
    path::{Path, PathBuf},
};

/// Read where no other file is named, if it is there.
const DEFAULT_FILE: &str = "piperoll.toml";
/// What a variable of ours begins with; one that holds a setting has `__` further on.
const PREFIX: &str = "PIPEROLL_";

/// Settings given as flags.
#[derive(Clone, Debug, Default)]
pub struct Overrides(Vec<(String, String, String)>);

impl Overrides {
    /// The flag `flag` (its name, for messages) sets `key` (`storage.directory`) to `value`.
    pub fn set(&mut self, flag: &str, key: &str, value: impl Into<String>) {
        self.0.push((flag.to_owned(), key.to_owned(), value.into()));
    }
}

/// The settings in force.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// All of them, checked.
    pub config: Config,
    /// Each one's value and origin, by key.
    pub origins: Vec<Origin>,
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its key, such as `storage.directory`.
    pub key: String,
    /// Its value, as TOML.
    pub value: String,
    /// What set it: `default`, a file's path, a variable's or a flag's name.
    pub origin: String,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A key that does not exist.
    #[error("unknown key `{key}` in {origin}{hint}; `piperoll config show` lists all keys")]
    UnknownKey {
        /// The key.
        key: String,
        /// What has it.
        origin: String,
        /// The nearest key, in words, or nothing.
        hint: String,
    },
    /// A value that its key cannot have, or no TOML.
    #[error("{0}")]
    Value(String),
    /// Values that do not fit together.
    #[error("`{key}`: {problem}")]
    Relation {
        /// The key to change.
        key: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
}

/// Settings from one place, which is named in messages.
struct Layer {
    origin: String,
    dict: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Map::from([(Profile::Default, self.dict.clone())]))
    }
}

/// Loads the settings: `path`, or `piperoll.toml` in the current directory if it is there and `path` is not
/// given; then the environment; then `overrides`. What is returned was checked.
pub fn load(path: Option<&Path>, overrides: &Overrides) -> Result<Loaded, ConfigError> {
    let variables =
        env::vars_os().filter_map(|(name, value)| name.into_string().ok().zip(value.into_string().ok()));
    load_from(path, variables, overrides)
}

fn load_from(
    path: Option<&Path>,
    variables: impl Iterator<Item = (String, String)>,
    overrides: &Overrides,
) -> Result<Loaded, ConfigError> {
    let mut layers = Vec::new();
    layers.extend(file_layer(path)?);
    layers.extend(variables.filter_map(|(name, value)| variable_layer(&name, &value)));
    layers.extend(
        overrides.0.iter().map(|(flag, key, value)| layer(flag.clone(), key, Value::from(value.as_str()))),
    );

    let mut figment = Figment::from(Serialized::defaults(Config::default()));
    let known = figment.find_value("").map_err(|error| in_words(&error))?;
    for layer in layers {
        layer.check_keys(&known)?;
        figment = figment.merge(layer);
    }
    let config: Config = figment.extract().map_err(|error| in_words(&error))?;
    check::relations(&config)?;
    let origins = origins(&figment, &config)?;
    Ok(Loaded { config, origins })
}

fn file_layer(path: Option<&Path>) -> Result<Option<Layer>, ConfigError> {
    let default = Path::new(DEFAULT_FILE);
    let path = match path {
        Some(path) => path,
        None if default.exists() => default,
        None => return Ok(None),
    };
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    let origin = path.display().to_string();
    // Through toml itself first: its message shows line and column.
    if let Err(error) = text.parse::<toml::Table>() {
        return Err(ConfigError::Value(format!("{origin} is no TOML: {error}")));
    }
    let data = Toml::string(&text).data().map_err(|error| in_words(&error))?;
    let dict = data.into_iter().find(|(profile, _)| *profile == Profile::Default).map(|(_, dict)| dict);
    Ok(Some(Layer { origin, dict: dict.unwrap_or_default() }))
}

fn variable_layer(name: &str, value: &str) -> Option<Layer> {
    let key = name.strip_prefix(PREFIX).filter(|rest| rest.contains("__"))?;
    let key = key.to_lowercase().replace("__", ".");
    // Lists are written as in TOML. All else stays text: a directory named 2024 is no number.
    let is_list = value.trim_start().starts_with('[');
    let value =
        if is_list { value.parse().unwrap_or_else(|never| match never {}) } else { Value::from(value) };
    Some(layer(format!("the environment variable {name}"), &key, value))
}

fn layer(origin: String, key: &str, value: Value) -> Layer {
    let dict = figment::util::nest(key, value).into_dict().unwrap_or_default();
    Layer { origin, dict }
}

impl Layer {
    /// Every key of this layer is one that `known`, the defaults, has.
    fn check_keys(&self, known: &Value) -> Result<(), ConfigError> {
        for (section, values) in &self.dict {
            let Some(keys) = known.find_ref(section).and_then(Value::as_dict) else {
                return Err(self.unknown(section, "", known.as_dict()));
            };
            let Some(values) = values.as_dict() else {
                let message = format!("`{section}` in {} is a section of keys, not a value", self.origin);
                return Err(ConfigError::Value(message));
            };
            if let Some(key) = values.keys().find(|key| !keys.contains_key(*key)) {
                return Err(self.unknown(key, &format!("{section}."), Some(keys)));
            }
        }
        Ok(())
    }

    fn unknown(&self, key: &str, prefix: &str, known: Option<&Dict>) -> ConfigError {
        let names = known.into_iter().flat_map(Dict::keys).map(String::as_str);
        let hint = hint(key, prefix, names);
        ConfigError::UnknownKey { key: format!("{prefix}{key}"), origin: self.origin.clone(), hint }
    }
}

/// The nearest of `names` in words, or nothing where none is near.
fn hint<'a>(wrong: &str, prefix: &str, names: impl Iterator<Item = &'a str>) -> String {
    let near = names.map(|name| (strsim::damerau_levenshtein(wrong, name), name)).min();
    match near {
        Some((distance, name)) if distance <= 3.max(wrong.len() / 3) => {
            format!("; did you mean `{prefix}{name}`?")
        }
        _ => String::new(),
    }
}

fn in_words(error: &figment::Error) -> ConfigError {
    let origin =
        error.metadata.as_ref().map_or_else(String::new, |metadata| format!(" in {}", metadata.name));
    let path = error.path.join(".");
    if let figment::error::Kind::UnknownField(key, known) = &error.kind {
        let parent = path.strip_suffix(key.as_str()).unwrap_or(&path).trim_end_matches('.');
        let prefix = if parent.is_empty() { String::new() } else { format!("{parent}.") };
        let hint = hint(key, &prefix, known.iter().copied());
        let origin = origin.trim_start_matches(" in ").to_owned();
        return ConfigError::UnknownKey { key: format!("{prefix}{key}"), origin, hint };
    }
    ConfigError::Value(format!("`{path}`{origin}: {}", error.kind))
}

/// Every setting with its origin, in the order of `Config`.
fn origins(figment: &Figment, config: &Config) -> Result<Vec<Origin>, ConfigError> {
    let sections = toml::Table::try_from(config).map_err(|error| ConfigError::Value(error.to_string()))?;
    let mut origins = Vec::new();
    for (section, keys) in &sections {
        for (key, value) in keys.as_table().into_iter().flatten() {
            let key = format!("{section}.{key}");
            let named = figment.find_metadata(&key).map(|metadata| metadata.name.to_string());
            let origin =
                named.filter(|name| !name.contains("Config")).unwrap_or_else(|| "default".to_owned());
            origins.push(Origin { key, value: value.to_string(), origin });
        }
    }
    Ok(origins)
}

#[cfg(test)]
mod tests;
