//! Buffers: named, left, transformed, and contents moved to them by the older modifiers.

use super::{Builder, Fault, List, PendingGroup};
use crate::rule::chain::Condition;
use crate::rule::keyword::buffers::{Sticky, Where};
use crate::rule::transform::Transform;

impl Builder<'_> {
    /// Name a sticky buffer: conditions go there from now on.
    ///
    /// # Errors
    /// The buffer before is empty, or of another protocol.
    pub fn enter(&mut self, sticky: &Sticky) -> Result<(), Fault> {
        self.close_buffer()?;
        if self.base64.is_some() && sticky.name != "pkt_data" {
            return Err(Fault::hinted(
                format!("after base64_data nothing leads to {}", sticky.name),
                "name it before base64_decode, or say pkt_data first",
            ));
        }
        if matches!(sticky.place, Where::Packet(buffer) if buffer.is_header()) {
            self.requires_packet = true;
        }
        if !sticky.app.is_empty() {
            self.ask_for(sticky.app)?;
        }
        self.fingerprint |= sticky.fingerprint;
        self.file |= sticky.file;
        self.base64 = None;
        self.last_content = None;
        if sticky.name == "pkt_data" {
            self.list = List::Payload;
            return Ok(());
        }
        let reusable = self.groups.iter().position(|group| {
            group.sticky.name == sticky.name && group.transforms.is_empty() && !sticky.multi
        });
        let at = match reusable {
            Some(at) => at,
            None => self.open_group(*sticky),
        };
        self.list = List::Group(at);
        self.open_buffer = Some(at);
        Ok(())
    }

    /// Another group of conditions on a buffer: its index.
    fn open_group(&mut self, sticky: Sticky) -> usize {
        self.groups.push(PendingGroup {
            sticky,
            transforms: Vec::new(),
            conditions: Vec::new(),
            at: self.at,
        });
        self.groups.len() - 1
    }

    /// The last sticky buffer has something in it.
    ///
    /// # Errors
    /// It has not.
    pub fn close_buffer(&mut self) -> Result<(), Fault> {
        match self.open_buffer.and_then(|at| self.groups.get(at)) {
            Some(group) if group.conditions.is_empty() => {
                Err(format!("nothing is asked of the buffer {}", group.sticky.name).into())
            }
            _ => Ok(()),
        }
    }

    /// Move the last content to a buffer (`http_uri` and the like, after a content).
    ///
    /// # Errors
    /// There is no content, or the content cannot be there.
    pub fn move_content(&mut self, sticky: &Sticky, modifier: &str) -> Result<(), Fault> {
        self.content(modifier)?;
        if self.list != List::Payload {
            return Err(format!("{modifier} cannot be used in a sticky buffer").into());
        }
        self.ask_for(sticky.app)?;
        self.file |= sticky.file;
        let Some((List::Payload, at)) = self.last_content else {
            return Err(format!("{modifier} stands after a content of the payload, once").into());
        };
        let Condition::Content(content) = self.payload.remove(at) else {
            return Err(format!("{modifier} needs a content before it").into());
        };
        if content.raw_bytes {
            return Err(format!("{modifier} and rawbytes exclude each other").into());
        }
        let to = match self
            .groups
            .iter()
            .position(|group| group.sticky.name == sticky.name && group.transforms.is_empty())
        {
            Some(to) => to,
            None => self.open_group(*sticky),
        };
        let group = &mut self.groups[to];
        group.conditions.push(Condition::Content(content));
        self.last_list = List::Group(to);
        self.last_content = Some((List::Group(to), group.conditions.len() - 1));
        Ok(())
    }

    /// The transforms of the buffer named last, before anything was put in it.
    ///
    /// # Errors
    /// There is no such buffer.
    pub fn transform(&mut self, transform: Transform) -> Result<(), Fault> {
        let at = match (self.open_buffer, self.list) {
            (Some(at), _) => at,
            (None, List::Group(at)) if self.groups[at].transforms.is_empty() => at,
            _ => return Err("a transform stands after a sticky buffer".into()),
        };
        // A buffer that had conditions already is another one with a transform.
        if !self.groups[at].conditions.is_empty() {
            let at = self.open_group(self.groups[at].sticky);
            self.list = List::Group(at);
            self.open_buffer = Some(at);
            self.groups[at].transforms.push(transform);
            return Ok(());
        }
        self.groups[at].transforms.push(transform);
        Ok(())
    }
}
