//! Addresses in columns: `FixedSizeBinary(16)`, IPv4 as v4-mapped IPv6 (RFC 4291 §2.5.5.2), so that
//! one column and one group key hold both families. These functions read, test and cut them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, FixedSizeBinaryBuilder, StringBuilder};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{exec_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::scalar::ScalarValue;

const ADDRESS: DataType = DataType::FixedSizeBinary(16);
const V4_MAPPED: u128 = 0xffff << 32;

pub(super) fn functions() -> Vec<Arc<ScalarUDF>> {
    let all = [Call::Ip, Call::IsV4, Call::InPrefix, Call::Prefix, Call::Addr];
    all.into_iter().map(|call| Arc::new(ScalarUDF::from(AddressFunction::new(call)))).collect()
}

/// `192.0.2.1` for a v4-mapped address, RFC 5952 text for any other; `None` unless 4 or 16 bytes.
pub(crate) fn render(bytes: &[u8]) -> Option<String> {
    Some(text_of(number(bytes)?))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Call {
    /// `ip(address)` → text.
    Ip,
    /// `is_v4(address)` → whether it is v4-mapped.
    IsV4,
    /// `in_prefix(address, '10.0.0.0/8')` → whether the prefix contains it.
    InPrefix,
    /// `prefix(address, 24, 48)` → the address with all but the first bits (v4, v6) zeroed.
    Prefix,
    /// `addr('10.0.0.1')` → the address; null where the text is none.
    Addr,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct AddressFunction {
    call: Call,
    signature: Signature,
}

impl AddressFunction {
    fn new(call: Call) -> Self {
        AddressFunction { call, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for AddressFunction {
    fn name(&self) -> &str {
        match self.call {
            Call::Ip => "ip",
            Call::IsV4 => "is_v4",
            Call::InPrefix => "in_prefix",
            Call::Prefix => "prefix",
            Call::Addr => "addr",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let rest: &[DataType] = match self.call {
            Call::Ip | Call::IsV4 | Call::Addr => &[],
            Call::InPrefix => &[DataType::Utf8],
            Call::Prefix => &[DataType::Int64, DataType::Int64],
        };
        if types.len() != 1 + rest.len() {
            return plan_err!("{} takes {} argument(s)", self.name(), 1 + rest.len());
        }
        let first = match (self.call, &types[0]) {
            (Call::Addr, t) if t.is_string() || t.is_null() => DataType::Utf8,
            (Call::Addr, t) => return plan_err!("addr takes a text, not {t}"),
            (_, DataType::Null) => ADDRESS,
            (_, DataType::FixedSizeBinary(16)) => ADDRESS,
            (_, DataType::Binary | DataType::LargeBinary | DataType::BinaryView) => {
                DataType::Binary
            }
            (_, t) => return plan_err!("{} takes an address (16 bytes), not {t}", self.name()),
        };
        Ok(std::iter::once(first).chain(rest.iter().cloned()).collect())
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(match self.call {
            Call::Ip => DataType::Utf8,
            Call::IsV4 | Call::InPrefix => DataType::Boolean,
            Call::Prefix | Call::Addr => ADDRESS,
        })
    }

    /// Constants are read here too, so that a wrong one is refused with the rule.
    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        match self.call {
            Call::InPrefix => drop(Prefix::of_scalar(args.scalar_arguments[1])?),
            Call::Prefix => drop(Lengths::of_scalars(&args.scalar_arguments[1..])?),
            Call::Addr => drop(constant_address(args.scalar_arguments[0])?),
            Call::Ip | Call::IsV4 => {}
        }
        Ok(Arc::new(Field::new(self.name(), self.return_type(&[])?, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalars: Vec<Option<&ScalarValue>> = args.args.iter().map(as_scalar).collect();
        let all_scalar = scalars.iter().all(|s| s.is_some());
        let rows = if all_scalar { 1 } else { args.number_rows };
        let column = args.args[0].to_array(rows)?;
        let result: ArrayRef = match self.call {
            Call::Ip => ip(&column),
            Call::IsV4 => test(&column, is_v4),
            Call::InPrefix => {
                let prefix = Prefix::of_scalar(scalars[1])?;
                test(&column, |address| prefix.contains(address))
            }
            Call::Prefix => {
                let lengths = Lengths::of_scalars(&scalars[1..])?;
                addresses(numbers(&column).map(|a| a.map(|a| lengths.cut(a))), rows)?
            }
            Call::Addr => {
                let texts = column.as_string::<i32>().iter();
                addresses(texts.map(|text| text.and_then(parse)), rows)?
            }
        };
        if all_scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?));
        }
        Ok(ColumnarValue::Array(result))
    }
}

fn as_scalar(value: &ColumnarValue) -> Option<&ScalarValue> {
    match value {
        ColumnarValue::Scalar(scalar) => Some(scalar),
        ColumnarValue::Array(_) => None,
    }
}

fn number(bytes: &[u8]) -> Option<u128> {
    if let Ok(v6) = <[u8; 16]>::try_from(bytes) {
        return Some(u128::from_be_bytes(v6));
    }
    let v4 = <[u8; 4]>::try_from(bytes).ok()?;
    Some(V4_MAPPED | u128::from(u32::from_be_bytes(v4)))
}

fn text_of(address: u128) -> String {
    if is_v4(address) {
        return Ipv4Addr::from(address as u32).to_string();
    }
    Ipv6Addr::from(address).to_string()
}

fn is_v4(address: u128) -> bool {
    address >> 32 == 0xffff
}

fn parse(text: &str) -> Option<u128> {
    Some(match text.trim().parse::<IpAddr>().ok()? {
        IpAddr::V4(v4) => V4_MAPPED | u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    })
}

/// The column's addresses; null where there is none.
fn numbers(column: &ArrayRef) -> Box<dyn Iterator<Item = Option<u128>> + '_> {
    match column.data_type() {
        DataType::FixedSizeBinary(16) => {
            Box::new(column.as_fixed_size_binary().iter().map(|bytes| bytes.and_then(number)))
        }
        DataType::Binary => {
            Box::new(column.as_binary::<i32>().iter().map(|bytes| bytes.and_then(number)))
        }
        _ => Box::new((0..column.len()).map(|_| None)),
    }
}

fn ip(column: &ArrayRef) -> ArrayRef {
    let mut builder = StringBuilder::with_capacity(column.len(), column.len() * 12);
    for address in numbers(column) {
        builder.append_option(address.map(text_of));
    }
    Arc::new(builder.finish())
}

fn test(column: &ArrayRef, holds: impl Fn(u128) -> bool) -> ArrayRef {
    let result: BooleanArray = numbers(column).map(|a| a.map(&holds)).collect();
    Arc::new(result)
}

fn addresses(values: impl Iterator<Item = Option<u128>>, rows: usize) -> Result<ArrayRef> {
    let mut builder = FixedSizeBinaryBuilder::with_capacity(rows, 16);
    for address in values {
        match address {
            Some(address) => builder.append_value(address.to_be_bytes())?,
            None => builder.append_null(),
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn constant_address(value: Option<&ScalarValue>) -> Result<()> {
    match value.and_then(|v| v.try_as_str()) {
        Some(Some(text)) if parse(text).is_none() => plan_err!("'{text}' is not an address"),
        _ => Ok(()),
    }
}

/// A network, its mask over the mapped 128 bits.
struct Prefix {
    network: u128,
    mask: u128,
}

impl Prefix {
    fn of_scalar(value: Option<&ScalarValue>) -> Result<Prefix> {
        match value.and_then(|v| v.try_as_str()) {
            Some(Some(text)) => match Prefix::parse(text) {
                Some(prefix) => Ok(prefix),
                None => plan_err!("'{text}' is not a prefix such as '10.0.0.0/8'"),
            },
            _ => plan_err!("in_prefix takes its prefix as a constant text"),
        }
    }

    fn parse(text: &str) -> Option<Prefix> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.trim().parse::<u32>().ok()?)),
            None => (text, None),
        };
        let network = parse(address)?;
        let v4 = !address.contains(':');
        let bits = if v4 { 32 } else { 128 };
        let length = length.unwrap_or(bits);
        if length > bits {
            return None;
        }
        let mask = mask(if v4 { length + 96 } else { length });
        Some(Prefix { network: network & mask, mask })
    }

    fn contains(&self, address: u128) -> bool {
        address & self.mask == self.network
    }
}

fn mask(length: u32) -> u128 {
    match length {
        0 => 0,
        _ => u128::MAX << (128 - length),
    }
}

/// The masks of `prefix(address, v4 bits, v6 bits)`.
struct Lengths {
    v4: u128,
    v6: u128,
}

impl Lengths {
    fn of_scalars(values: &[Option<&ScalarValue>]) -> Result<Lengths> {
        Ok(Lengths {
            v4: mask(96 + Lengths::one(values.first(), 32)?),
            v6: mask(Lengths::one(values.get(1), 128)?),
        })
    }

    fn one(value: Option<&Option<&ScalarValue>>, bits: u32) -> Result<u32> {
        let Some(Some(value)) = value else {
            return plan_err!("prefix takes its lengths as constants");
        };
        match value.cast_to(&DataType::Int64)? {
            ScalarValue::Int64(Some(n)) if (0..=i64::from(bits)).contains(&n) => Ok(n as u32),
            other => exec_err!("prefix length must be 0 to {bits}, not {other}"),
        }
    }

    fn cut(&self, address: u128) -> u128 {
        address & if is_v4(address) { self.v4 } else { self.v6 }
    }
}
