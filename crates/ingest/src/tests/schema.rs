//! The columns that the decoder writes are those of the contract.

use arrow::datatypes::DataType;

use crate::engine::batch::target;
use crate::engine::element::{Target, VARIABLE};
use crate::engine::program::Program;

#[test]
fn every_column_of_the_contract_has_a_target_of_its_type() {
    for field in model::schema::flows().arrow.fields() {
        let expected = match (field.name().as_str(), target(field.name())) {
            ("domain", None) => DataType::Utf8,
            ("extra", None) => DataType::Binary,
            ("mpls_labels", None) => continue,
            ("exporter_name" | "in_if_name" | "out_if_name", None) => DataType::Utf8,
            ("in_if_speed" | "out_if_speed", None) => DataType::UInt64,
            (_, Some(Target::U8(_))) => DataType::UInt8,
            (_, Some(Target::U16(_))) => DataType::UInt16,
            (_, Some(Target::U32(_))) => DataType::UInt32,
            (_, Some(Target::U64(_))) => DataType::UInt64,
            (_, Some(Target::Addr4(_) | Target::Addr16(_))) => DataType::FixedSizeBinary(16),
            (_, Some(Target::Mac(_))) => DataType::FixedSizeBinary(6),
            (_, Some(Target::Time(..))) => {
                assert!(matches!(field.data_type(), DataType::Timestamp(..)), "{field}");
                continue;
            }
            (name, None) => panic!("{name} is never written"),
        };
        assert_eq!(*field.data_type(), expected, "{field}");
    }
}

/// Every element number goes somewhere, at every length, without a panic.
#[test]
fn every_element_compiles_at_every_length() {
    use crate::engine::element::Field;
    for version in [9, 10] {
        for id in 0..=u16::MAX {
            for len in [0, 1, 2, 3, 4, 6, 8, 16, 17, VARIABLE] {
                let field = Field { enterprise: 0, id, len };
                let program = Program::compile(version, &[field, field]);
                assert_eq!(program.variable, len == VARIABLE);
            }
        }
    }
}
