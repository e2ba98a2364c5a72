//! What ops may set for a Segment connection.

use serde::Deserialize;
use serde_json::Value;

use crate::SettingsError;
use crate::settings::read;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Where an event names its account: paths in the call, the first that is there wins. Default `context.groupId` and
    /// `groupId`.
    #[serde(default = "account")]
    pub(crate) account: Vec<String>,
    /// Count `page` and `screen` calls, too. Default false: each page that is named would be a feature.
    #[serde(default)]
    pub(crate) pages: bool,
    /// Count only these events, by name in any case. Default: all.
    #[serde(default)]
    pub(crate) features: Vec<String>,
    /// Do not count these. Default: none.
    #[serde(default)]
    pub(crate) ignore: Vec<String>,
}

fn account() -> Vec<String> {
    ["context.groupId", "groupId"].map(str::to_owned).into()
}

impl Settings {
    pub(crate) fn parse(settings: &Value) -> Result<Self, SettingsError> {
        let settings: Self = read(settings)?;
        if let Some(bad) = settings.account.iter().find(|path| path.split('.').any(str::is_empty)) {
            return Err(SettingsError::key("account", format!("{bad:?} is no path; write \"properties.account_id\"")));
        }
        Ok(settings)
    }

    /// Whether an event of this name is counted.
    pub(crate) fn counts(&self, name: &str) -> bool {
        let among = |list: &[String]| list.iter().any(|one| one.eq_ignore_ascii_case(name));
        (self.features.is_empty() || among(&self.features)) && !among(&self.ignore)
    }
}
