//! `top_k(key, weight [, k])`: the k keys with the most weight, as a list of (name, weight, share),
//! heaviest first. A rule names its top contributors with it. Bounded and mergeable by `summary`:
//! with k = 10 and 160 counters a weight is low by at most 1/161 of the group's total, and exact
//! while a group has no more than 160 keys.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, Float64Array,
    ListArray, PrimitiveArray, StringArray, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Float64Type, Int64Type};
use datafusion::common::{exec_err, internal_err, plan_err};
use datafusion::error::Result;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::format_state_name;
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};
use datafusion::physical_expr::expressions::Literal;
use datafusion::scalar::ScalarValue;

use super::render_address;
use super::summary::{Summary, Weight};

const K_DEFAULT: usize = 10;
const K_MAX: usize = 100;
/// Counters a rank, and at least: the error bound is W / (counters + 1).
const COUNTERS_PER_RANK: usize = 16;
const COUNTERS_MIN: usize = 128;

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct TopK {
    signature: Signature,
}

impl TopK {
    pub fn new() -> Self {
        TopK { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for TopK {
    fn name(&self) -> &str {
        "top_k"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        if !(2..=3).contains(&types.len()) {
            return plan_err!(
                "top_k takes a key, a weight and, if other than 10, a number of ranks"
            );
        }
        let mut coerced = vec![key_type(&types[0])?, weight_type(&types[1])?];
        coerced.extend(types.get(2).map(|_| DataType::Int64));
        Ok(coerced)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        Ok(DataType::List(Arc::new(Field::new("item", rank_type(&types[1]), true))))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let weight = args.input_fields[1].data_type().clone();
        let list = |item| DataType::List(Arc::new(Field::new("item", item, true)));
        let field =
            |name, kind| Arc::new(Field::new(format_state_name(args.name, name), kind, true));
        Ok(vec![
            field("keys", list(DataType::Binary)),
            field("weights", list(weight.clone())),
            field("total", weight),
        ])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let k = ranks(&args)?;
        let key = args.expr_fields[0].data_type().clone();
        Ok(match args.expr_fields[1].data_type() {
            DataType::Float64 => Box::new(One(Rankings::<Float64Type>::new(key, k))),
            _ => Box::new(One(Rankings::<Int64Type>::new(key, k))),
        })
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        let k = ranks(&args)?;
        let key = args.expr_fields[0].data_type().clone();
        Ok(match args.expr_fields[1].data_type() {
            DataType::Float64 => Box::new(Rankings::<Float64Type>::new(key, k)),
            _ => Box::new(Rankings::<Int64Type>::new(key, k)),
        })
    }
}

fn key_type(given: &DataType) -> Result<DataType> {
    Ok(match given {
        t if t.is_string() || t.is_null() => DataType::Utf8,
        t if t.is_signed_integer() => DataType::Int64,
        t if t.is_unsigned_integer() => DataType::UInt64,
        DataType::FixedSizeBinary(16) => given.clone(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => DataType::Binary,
        DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Dictionary(_, value) => key_type(value)?,
        t => return plan_err!("top_k takes text, integers or addresses as its key, not {t}"),
    })
}

fn weight_type(given: &DataType) -> Result<DataType> {
    match given {
        t if t.is_integer() || t.is_null() => Ok(DataType::Int64),
        t if t.is_numeric() => Ok(DataType::Float64),
        t => plan_err!("top_k takes a number as its weight, not {t}"),
    }
}

fn rank_fields(weight: &DataType) -> Fields {
    Fields::from(vec![
        Field::new("name", DataType::Utf8, false),
        Field::new("weight", weight.clone(), false),
        Field::new("share", DataType::Float64, false),
    ])
}

fn rank_type(weight: &DataType) -> DataType {
    DataType::Struct(rank_fields(weight))
}

fn ranks(args: &AccumulatorArgs) -> Result<usize> {
    if args.is_distinct {
        return plan_err!("'top_k' sums up weights: DISTINCT has no meaning there");
    }
    let Some(expr) = args.exprs.get(2) else {
        return Ok(K_DEFAULT);
    };
    let value = expr.downcast_ref::<Literal>().map(|literal| literal.value().clone());
    match value {
        Some(ScalarValue::Int64(Some(k))) if (1..=K_MAX as i64).contains(&k) => Ok(k as usize),
        _ => plan_err!("top_k takes its number of ranks as a constant from 1 to {K_MAX}"),
    }
}

/// All groups of a plan, or the one of a plan without groups.
struct Rankings<T: ArrowPrimitiveType> {
    key: DataType,
    k: usize,
    groups: Vec<Summary<T::Native>>,
}

impl<T: ArrowPrimitiveType> std::fmt::Debug for Rankings<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "top {} of {} in {} groups", self.k, self.key, self.groups.len())
    }
}

impl<T: ArrowPrimitiveType> Rankings<T>
where
    T::Native: Weight,
{
    fn new(key: DataType, k: usize) -> Self {
        Rankings { key, k, groups: vec![] }
    }

    fn grow(&mut self, groups: usize) {
        let capacity = (self.k * COUNTERS_PER_RANK).max(COUNTERS_MIN);
        self.groups.resize_with(groups.max(self.groups.len()), || Summary::new(capacity));
    }

    fn ranks(&self, summaries: Vec<Summary<T::Native>>) -> Result<ArrayRef> {
        let (mut names, mut weights, mut shares) = (vec![], vec![], vec![]);
        let mut lengths = Vec::with_capacity(summaries.len());
        for mut summary in summaries {
            let total = summary.total().to_f64();
            let heaviest = summary.heaviest(self.k);
            lengths.push(heaviest.len());
            for (key, weight) in heaviest {
                names.push(render(&self.key, key.as_ref()));
                weights.push(weight);
                shares.push(weight.to_f64() / total);
            }
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(names)),
            Arc::new(PrimitiveArray::<T>::from_iter_values(weights)),
            Arc::new(Float64Array::from(shares)),
        ];
        let rows = StructArray::try_new(rank_fields(&T::DATA_TYPE), columns, None)?;
        Ok(lists(Arc::new(rows), lengths))
    }
}

impl<T: ArrowPrimitiveType> GroupsAccumulator for Rankings<T>
where
    T::Native: Weight,
{
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.grow(total);
        let keys = Keys::new(&values[0])?;
        let weights = values[1].as_primitive::<T>();
        let passes = |row| filter.is_none_or(|f| f.is_valid(row) && f.value(row));
        for (row, &group) in groups.iter().enumerate() {
            if weights.is_valid(row) && passes(row) {
                let (summary, weight) = (&mut self.groups[group], weights.value(row));
                keys.with(row, |key| summary.add(key, weight));
            }
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.grow(total);
        let [keys, weights, totals] = states else {
            return internal_err!("top_k has three state columns, not {}", states.len());
        };
        let (keys, weights) = (keys.as_list::<i32>(), weights.as_list::<i32>());
        let totals = totals.as_primitive::<T>();
        let (key_at, weight_at) = (keys.value_offsets(), weights.value_offsets());
        let all_keys = keys.values().as_binary::<i32>();
        let all_weights = weights.values().as_primitive::<T>();
        for (row, &group) in groups.iter().enumerate() {
            if totals.is_null(row) || keys.is_null(row) || weights.is_null(row) {
                continue;
            }
            let from_key = key_at[row] as usize..key_at[row + 1] as usize;
            let from_weight = weight_at[row] as usize..weight_at[row + 1] as usize;
            if from_key.len() != from_weight.len() {
                return exec_err!("top_k state has {from_key:?} keys, {from_weight:?} weights");
            }
            let pairs = from_key.zip(from_weight);
            let entries = pairs.map(|(k, w)| (all_keys.value(k), all_weights.value(w)));
            self.groups[group].merge(totals.value(row), entries);
        }
        Ok(())
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let mut summaries = emit.take_needed(&mut self.groups);
        let totals = PrimitiveArray::<T>::from_iter_values(summaries.iter().map(|s| s.total()));
        let entries: Vec<_> = summaries.iter_mut().map(|s| s.entries()).collect();
        let lengths: Vec<usize> = entries.iter().map(|e| e.len()).collect();
        let (keys, weights): (Vec<_>, Vec<_>) = entries.into_iter().flatten().unzip();
        let keys = BinaryArray::from_iter_values(keys);
        let weights = PrimitiveArray::<T>::from_iter_values(weights);
        Ok(vec![
            lists(Arc::new(keys), lengths.clone()),
            lists(Arc::new(weights), lengths),
            Arc::new(totals),
        ])
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let summaries = emit.take_needed(&mut self.groups);
        self.ranks(summaries)
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let mut each = Rankings::<T>::new(self.key.clone(), self.k);
        let rows = values[0].len();
        let groups: Vec<usize> = (0..rows).collect();
        each.update_batch(values, &groups, filter, rows)?;
        each.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.groups.iter().map(|g| g.size_bytes()).sum::<usize>()
    }
}

/// Without groups.
struct One<T: ArrowPrimitiveType>(Rankings<T>);

impl<T: ArrowPrimitiveType> std::fmt::Debug for One<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: ArrowPrimitiveType> Accumulator for One<T>
where
    T::Native: Weight,
{
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.update_batch(values, &vec![0; values[0].len()], None, 1)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let rows = states.first().map_or(0, |column| column.len());
        self.0.merge_batch(states, &vec![0; rows], 1)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.0.grow(1);
        let columns = self.0.state(EmitTo::All)?;
        columns.iter().map(|column| ScalarValue::try_from_array(column, 0)).collect()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.0.grow(1);
        ScalarValue::try_from_array(&self.0.evaluate(EmitTo::All)?, 0)
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}

fn lists(items: ArrayRef, lengths: Vec<usize>) -> ArrayRef {
    let field = Arc::new(Field::new("item", items.data_type().clone(), true));
    Arc::new(ListArray::new(field, OffsetBuffer::from_lengths(lengths), items, None))
}

/// A key column read as bytes: text as it is, integers big-endian, addresses as they are.
enum Keys<'a> {
    Text(&'a StringArray),
    Signed(&'a PrimitiveArray<Int64Type>),
    Unsigned(&'a PrimitiveArray<arrow::datatypes::UInt64Type>),
    Fixed(&'a arrow::array::FixedSizeBinaryArray),
    Bytes(&'a BinaryArray),
}

impl<'a> Keys<'a> {
    fn new(column: &'a ArrayRef) -> Result<Self> {
        Ok(match column.data_type() {
            DataType::Utf8 => Keys::Text(column.as_string()),
            DataType::Int64 => Keys::Signed(column.as_primitive()),
            DataType::UInt64 => Keys::Unsigned(column.as_primitive()),
            DataType::FixedSizeBinary(16) => Keys::Fixed(column.as_fixed_size_binary()),
            DataType::Binary => Keys::Bytes(column.as_binary()),
            other => return internal_err!("top_k got a key of {other}"),
        })
    }

    fn with(&self, row: usize, count: impl FnOnce(Option<&[u8]>)) {
        match self {
            Keys::Text(a) => count(a.is_valid(row).then(|| a.value(row).as_bytes())),
            Keys::Signed(a) if a.is_valid(row) => count(Some(&a.value(row).to_be_bytes())),
            Keys::Unsigned(a) if a.is_valid(row) => count(Some(&a.value(row).to_be_bytes())),
            Keys::Signed(_) | Keys::Unsigned(_) => count(None),
            Keys::Fixed(a) => count(a.is_valid(row).then(|| a.value(row))),
            Keys::Bytes(a) => count(a.is_valid(row).then(|| a.value(row))),
        }
    }
}

fn render(kind: &DataType, key: &[u8]) -> String {
    let text = match (kind, <[u8; 8]>::try_from(key)) {
        (DataType::Int64, Ok(bytes)) => Some(i64::from_be_bytes(bytes).to_string()),
        (DataType::UInt64, Ok(bytes)) => Some(u64::from_be_bytes(bytes).to_string()),
        (DataType::FixedSizeBinary(16), _) => render_address(key),
        (DataType::Binary, _) if key.len() == 16 => render_address(key),
        (DataType::Utf8, _) => Some(String::from_utf8_lossy(key).into_owned()),
        _ => None,
    };
    text.unwrap_or_else(|| key.iter().map(|byte| format!("{byte:02x}")).collect())
}
