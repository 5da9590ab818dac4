//! Conditions on octets, added where the rule is now.

use super::{Builder, Fault, List};
use crate::rule::chain::{Condition, Content};

/// Conditions of one chain at most.
const MAX_CONDITIONS: usize = 255;

impl Builder<'_> {
    /// The conditions of a list.
    pub fn conditions(&mut self, list: List) -> &mut Vec<Condition> {
        match list {
            List::Payload => &mut self.payload,
            List::Group(at) => &mut self.groups[at].conditions,
        }
    }

    /// The conditions on what the last `base64_decode` of a list gives.
    fn decoded(&mut self, list: List) -> Option<&mut Vec<Condition>> {
        let mut conditions = self.conditions(list).iter_mut().rev();
        conditions.find_map(|condition| match condition {
            Condition::Base64(base64) => Some(&mut base64.data.conditions),
            _ => None,
        })
    }

    /// Add a condition where the rule is now.
    ///
    /// # Errors
    /// Too many.
    pub fn push(&mut self, condition: Condition) -> Result<(), Fault> {
        let mut list = self.list;
        // Outside of sticky buffers what counts from the condition before belongs where that one is: an older modifier
        // may have moved it to a buffer.
        if list == List::Payload && self.base64.is_none() && counts_from_before(&condition) {
            list = self.last_list;
        }
        self.last_list = list;
        let conditions = match self.base64 {
            Some(list) => self
                .decoded(list)
                .ok_or("base64_data needs base64_decode before it")?,
            None => self.conditions(list),
        };
        if conditions.len() >= MAX_CONDITIONS {
            return Err("too many conditions on one buffer".into());
        }
        conditions.push(condition);
        self.open_buffer = None;
        Ok(())
    }

    /// Add a content: what modifiers that follow are about.
    ///
    /// # Errors
    /// Too many.
    pub fn push_content(&mut self, content: Content) -> Result<(), Fault> {
        self.push(Condition::Content(Box::new(content)))?;
        let list = self.list;
        let at = self.conditions(list).len().saturating_sub(1);
        self.last_content = Some((list, at));
        self.last_keyword = "content";
        Ok(())
    }

    /// The content that modifiers are about.
    ///
    /// # Errors
    /// There is none.
    pub fn content(&mut self, modifier: &str) -> Result<&mut Content, Fault> {
        let missing = || Fault::from(format!("{modifier} needs a content before it"));
        if let Some(list) = self.base64 {
            let decoded = self.decoded(list);
            let last = decoded.and_then(|conditions| conditions.iter_mut().rev().find_map(as_content));
            return last.ok_or_else(missing);
        }
        let (list, at) = self.last_content.ok_or_else(missing)?;
        self.conditions(list)
            .get_mut(at)
            .and_then(as_content)
            .ok_or_else(missing)
    }

    /// The condition before the last content, in its chain: what a relative modifier counts from.
    pub fn before_content(&mut self) -> Option<&mut Condition> {
        let (list, at) = self.last_content?;
        let before = at.checked_sub(1)?;
        self.conditions(list).get_mut(before)
    }
}

/// Whether a condition counts from the one before, contents and expressions apart: these go where the rule is.
fn counts_from_before(condition: &Condition) -> bool {
    match condition {
        Condition::IsDataAt(test) => test.relative,
        Condition::ByteTest(test) => test.relative,
        Condition::ByteJump(jump) => jump.relative,
        Condition::ByteExtract(extract) => extract.relative,
        Condition::ByteMath(math) => math.relative,
        Condition::Base64(base64) => base64.relative,
        _ => false,
    }
}

fn as_content(condition: &mut Condition) -> Option<&mut Content> {
    match condition {
        Condition::Content(content) => Some(content),
        _ => None,
    }
}
