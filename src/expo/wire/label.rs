//! A label, which is the same message in remote write 1.0 and in what targets answer with.

use super::{
    cursor::{Cursor, Field, Message, Texts},
    error::Scanned,
};

const NAME: Field = Field::bytes(1, "Label.name");
const VALUE: Field = Field::bytes(2, "Label.value");
const LABEL: Message = Message {
    name: "Label",
    fields: &[NAME, VALUE],
};

/// Name and value; none where either is not UTF-8.
pub(super) type Pair<'a> = Option<(&'a str, &'a str)>;

/// The label whose length is at `cursor`; `tag` is in front of it.
#[inline]
pub(super) fn label<'a>(
    cursor: &mut Cursor<'a>,
    field: Field,
    texts: &mut Texts<'a>,
) -> Scanned<Pair<'a>> {
    texts.look(cursor, field.tag);
    let mut label = cursor.message(field.name)?;
    let (mut name, mut value) = (Some(""), Some(""));
    while let Some(tag) = label.tag(&LABEL)? {
        if tag == NAME.tag {
            let bytes = label.bytes(NAME.name)?;
            name = texts.cut(label.at() - bytes.len(), bytes);
        } else if tag == VALUE.tag {
            let bytes = label.bytes(VALUE.name)?;
            value = texts.cut(label.at() - bytes.len(), bytes);
        } else {
            label.skip(tag, &LABEL)?;
        }
    }
    Ok(name.zip(value))
}
