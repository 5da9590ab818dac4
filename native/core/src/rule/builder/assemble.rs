//! The rule put together, and checked as a whole.

use smallvec::SmallVec;

use super::{meant_by, Builder, Fault};
use crate::app::{Protocol, PROTOCOLS};
use crate::rule::chain::Chain;
use crate::rule::header::Header;
use crate::rule::lexer::invalid;
use crate::rule::signature::{Action, Kind, Origin, Problem, Signature};
use crate::rule::{fast_pattern, finish, notation, steps};

impl Builder<'_> {
    /// Put it together.
    ///
    /// # Errors
    /// What does not fit together.
    pub fn finish(
        mut self,
        action: Action,
        header: Header,
        text: &str,
        origin: Origin,
    ) -> Result<Signature, Problem> {
        let at = self.at;
        let fail = |at: usize, fault: Fault| Problem {
            kind: fault.kind,
            hint: fault.hint.into(),
            ..invalid(at, "", fault.reason)
        };
        self.close_buffer().map_err(|fault| fail(at, fault))?;
        if self.sid == 0 {
            return Err(invalid(0, "sid", "the rule has no sid"));
        }
        let mut header = header;
        if self.ip_protocols.is_some() && !header.protocols.any {
            return Err(fail(
                0,
                Fault::hinted("ip_proto is for rules about ip", "alert ip ..."),
            ));
        }
        if let Some(version) = self.ip_version {
            if header.protocols.version != 0 && header.protocols.version != version {
                return Err(fail(
                    0,
                    "l3_proto and the header name different versions of IP".into(),
                ));
            }
            header.protocols.version = version;
        }
        let protocols: SmallVec<[&'static Protocol; 2]> = PROTOCOLS
            .iter()
            .copied()
            .filter(|protocol| meant_by(protocol, self.app))
            .collect();
        if !self.app.is_empty() && protocols.is_empty() {
            return Err(fail(
                0,
                Fault::not_there_yet(format!("the protocol {} is not there yet", self.app)),
            ));
        }
        finish::carriers(&mut header, &protocols, self.ip_protocols, self.app);
        finish::check_carriers(&self, &header).map_err(|fault| fail(at, fault))?;
        let mut groups = finish::groups(&mut self, &protocols)?;
        for group in &mut groups {
            notation::apply(group).map_err(|fault| fail(at, fault))?;
        }
        let payload_on = finish::payload_on(&self, &header).map_err(|fault| fail(at, fault))?;
        finish::check(&self, &header, &groups).map_err(|fault| fail(at, fault))?;
        let mut payload = Chain {
            conditions: std::mem::take(&mut self.payload),
        };
        payload.finish();
        for group in &mut groups {
            group.chain.finish();
        }
        let fast_pattern = fast_pattern::choose(&payload, &groups);
        let mut signature = Signature {
            index: 0,
            gid: self.gid,
            sid: self.sid,
            rev: self.rev,
            msg: self.msg,
            action,
            classtype: self.classtype,
            category: self.category,
            priority: self.priority.or(self.class_priority).unwrap_or(3),
            references: self.references,
            metadata: self.metadata,
            target: self.target,
            noalert: self.noalert,
            also_alerts: self.also_alerts,
            payload_need: self.payload_need.or((!payload.is_empty()).then_some(true)),
            header,
            app: self.app,
            protocols,
            kind: Kind::Packet,
            direction: self.direction,
            flow: self.flow,
            packet: self.packet,
            state: self.state,
            payload,
            payload_on,
            groups,
            transaction: self.transaction,
            fast_pattern,
            prefilter_keyword: self.prefilter_keyword,
            plans: Vec::new(),
            variables: self.variables.len() as u8,
            captures: self.captures,
            effects: self.effects,
            threshold: self.threshold,
            detection_filter: self.detection_filter,
            text: text.into(),
            origin,
        };
        signature.kind = finish::kind(&signature, self.app_protocol_keyword.is_some(), self.packet_event);
        if signature.kind == Kind::Transaction {
            signature.plans = steps::plans(&signature);
        }
        Ok(signature)
    }
}
