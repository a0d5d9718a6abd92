// SPDX-License-Identifier: Apache-2.0
use super::Settings;
use crate::edit;
use tidegate_contract::{Exchange, Filter, Flow, Phases};
use tidegate_request::{Response, syntax};

/// Sets fields that a response does not have, or all of them.
#[derive(Clone, Debug)]
pub struct SecurityHeaders {
    fields: Vec<(&'static str, String)>,
    replaces: bool,
}

impl SecurityHeaders {
    /// The filter for these settings.
    ///
    /// # Errors
    /// A value that may not stand in a message.
    pub fn new(settings: Settings) -> Result<Self, String> {
        let all = [
            ("X-Content-Type-Options", settings.content_type_options),
            ("X-Frame-Options", settings.frame_options),
            ("Referrer-Policy", settings.referrer_policy),
            ("Cross-Origin-Opener-Policy", settings.opener_policy),
            ("Cross-Origin-Resource-Policy", settings.resource_policy),
            ("Permissions-Policy", settings.permissions_policy),
            ("Content-Security-Policy", settings.content_security_policy),
            (
                "Content-Security-Policy-Report-Only",
                settings.content_security_policy_report_only,
            ),
        ];
        let fields = all.into_iter();
        let fields: Vec<_> = fields
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        if let Some((name, _)) = fields
            .iter()
            .find(|(_, value)| !syntax::is_field_value(value.as_bytes()))
        {
            return Err(format!(
                "security_headers: the value of `{name}` holds a control character; write it in one line"
            ));
        }
        Ok(Self {
            fields,
            replaces: settings.replace,
        })
    }
}

impl Filter for SecurityHeaders {
    fn phases(&self) -> Phases {
        Phases {
            response: true,
            failures: true,
            ..Phases::default()
        }
    }

    fn response<'a>(
        &'a self,
        _exchange: &'a mut Exchange,
        response: &'a mut Response,
        _position: usize,
    ) -> Flow<'a> {
        let fields = response.fields_mut();
        for (name, value) in &self.fields {
            let is_there = || fields.get_name(name.as_bytes()).is_some();
            if !self.replaces && is_there() {
                continue;
            }
            if fields.set(name.as_bytes(), value.as_bytes()).is_err() {
                return edit::failed();
            }
        }
        Flow::Continue
    }
}
