//! Commands: fields, methods, functions, and their arguments.

use super::{Arguments, Cell, Evaluated, Spot, State};
use crate::functions::{self, Failure, Function, Parameter};
use crate::tree::{Command, Operand, Term};
use crate::value::{Element, Value};
use crate::{MissingKey, literal, methods};

impl<'t> State<'t, '_> {
    pub(super) fn command(
        &mut self,
        dot: &Cell,
        command: &'t Command,
        last: Option<&Cell>,
    ) -> Evaluated<Cell> {
        let Some((first, operands)) = command.operands.split_first() else {
            return Ok(Cell::default());
        };
        let arguments = Arguments { operands, last };
        match &first.term {
            Term::Field(names) => {
                self.at = Some(Spot::Operand(first));
                self.fields(dot, dot.clone(), first, names, arguments)
            }
            Term::Chain(inner, names) => self.chain(dot, first, inner, names, arguments),
            Term::Identifier(name) => {
                self.at = Some(Spot::Operand(first));
                self.function(dot, name, Spot::Command(command), arguments)
            }
            Term::Pipeline(pipeline) => {
                self.check_no_arguments(first, arguments)?;
                self.deeper(|state| state.pipeline(dot, pipeline))
            }
            Term::Variable(names) => self.variable(dot, first, names, arguments),
            Term::Nil => {
                self.at = Some(Spot::Operand(first));
                self.check_no_arguments(first, arguments)?;
                Err(self.error("nil is not a command"))
            }
            Term::Bool(_) | Term::Dot | Term::Number(_) | Term::Text { .. } => {
                self.at = Some(Spot::Operand(first));
                self.check_no_arguments(first, arguments)?;
                self.constant(dot, first)
            }
        }
    }

    fn check_no_arguments(&self, operand: &Operand, arguments: Arguments) -> Evaluated<()> {
        match arguments.is_none() {
            true => Ok(()),
            false => Err(self.error(format!("can't give argument to non-function {operand}"))),
        }
    }

    /// A term that stands for itself.
    fn constant(&self, dot: &Cell, operand: &Operand) -> Evaluated<Cell> {
        Ok(match &operand.term {
            Term::Bool(value) => Cell::plain(Value::Bool(*value)),
            Term::Dot => dot.clone(),
            Term::Text { value, .. } => Cell::plain(Value::from(value.clone())),
            Term::Number(number) => {
                let text = &number.text;
                let hex = text.starts_with("0x") || text.starts_with("0X");
                let exponent = text.contains(['p', 'P']);
                let whole = text.starts_with('\'') || (hex && !exponent);
                match (number.int, number.float) {
                    (_, Some(float)) if !whole && text.contains(['.', 'e', 'E', 'p', 'P']) => {
                        Cell::plain(Value::Float(float))
                    }
                    (Some(int), _) => Cell::plain(Value::Int(int)),
                    _ => return Err(self.error(format!("{text} overflows int"))),
                }
            }
            _ => Cell::default(),
        })
    }

    fn chain(
        &mut self,
        dot: &Cell,
        whole: &'t Operand,
        inner: &'t Operand,
        names: &'t [String],
        arguments: Arguments<'t, '_>,
    ) -> Evaluated<Cell> {
        self.at = Some(Spot::Operand(whole));
        let receiver = self.operand(dot, inner)?;
        self.fields(dot, receiver, whole, names, arguments)
    }

    fn variable(
        &mut self,
        dot: &Cell,
        operand: &'t Operand,
        names: &'t [String],
        arguments: Arguments<'t, '_>,
    ) -> Evaluated<Cell> {
        self.at = Some(Spot::Operand(operand));
        let (name, fields) = names.split_first().map_or(("", &[][..]), |(n, f)| (n.as_str(), f));
        let found = self.variables.iter().rev().find(|(known, _)| *known == name);
        let Some((_, cell)) = found else {
            return Err(self.error(format!("undefined variable: {name}")));
        };
        let cell = cell.clone();
        if fields.is_empty() {
            self.check_no_arguments(operand, arguments)?;
            return Ok(cell);
        }
        self.fields(dot, cell, operand, fields, arguments)
    }

    /// `.A.B.C` of a value: the last may be a method and gets the arguments.
    fn fields(
        &mut self,
        dot: &Cell,
        mut receiver: Cell,
        operand: &'t Operand,
        names: &'t [String],
        arguments: Arguments<'t, '_>,
    ) -> Evaluated<Cell> {
        let Some((last, before)) = names.split_last() else { return Ok(receiver) };
        for name in before {
            receiver = self.field(dot, &receiver, operand, name, Arguments::NONE)?;
        }
        self.field(dot, &receiver, operand, last, arguments)
    }

    fn field(
        &mut self,
        dot: &Cell,
        receiver: &Cell,
        operand: &'t Operand,
        name: &str,
        arguments: Arguments<'t, '_>,
    ) -> Evaluated<Cell> {
        self.charge(1)?;
        let type_name = receiver.type_name();
        match &receiver.value {
            Value::Null if receiver.boxed => {
                return Err(self.error(format!("nil pointer evaluating interface {{}}.{name}")));
            }
            Value::Null if self.missing_key == MissingKey::Error => {
                let name = literal::quoted(name.as_bytes());
                return Err(self.error(format!("nil data; no entry for key {name}")));
            }
            Value::Null => return Ok(Cell::default()),
            Value::Nil(pointer) if pointer.starts_with('*') => {
                return Err(self.error(format!("nil pointer evaluating {pointer}.{name}")));
            }
            Value::Nil(map) if map.starts_with("map[") => {
                return self.missing(name, arguments);
            }
            Value::Map(_) if self.headings && name == "Label" => {
                let call = methods::heading_of_label;
                return self.method(dot, name, operand, arguments, &[Parameter::Text], &call);
            }
            Value::Map(map) => {
                if let Some(found) = map.entries.get(name) {
                    self.check_is_method(name, arguments)?;
                    let boxed = map.element == Element::Any;
                    return Ok(Cell { value: found.clone(), boxed });
                }
                return self.missing(name, arguments);
            }
            Value::Struct(whole) => match whole.get(name) {
                Some(Value::Lookup(entries)) => {
                    let entries = entries.clone();
                    let call = move |values: &[Value]| methods::look_up(&entries, values);
                    return self.method(dot, name, operand, arguments, &[Parameter::Text], &call);
                }
                Some(_) if !arguments.is_none() => {
                    let message = "has arguments but cannot be invoked as function";
                    return Err(self.error(format!("{name} {message}")));
                }
                Some(found) => return Ok(Cell::plain(found.clone())),
                None => {}
            },
            Value::Time(time) => {
                if let Some((parameters, method)) = methods::of_time(name) {
                    let time = time.clone();
                    let call = move |values: &[Value]| Ok(method(&time, values));
                    return self.method(dot, name, operand, arguments, parameters, &call);
                }
            }
            _ => {}
        }
        Err(self.error(format!("can't evaluate field {name} in type {type_name}")))
    }

    fn check_is_method(&self, name: &str, arguments: Arguments) -> Evaluated<()> {
        match arguments.is_none() {
            true => Ok(()),
            false => Err(self.error(format!("{name} is not a method but has arguments"))),
        }
    }

    fn missing(&self, name: &str, arguments: Arguments) -> Evaluated<Cell> {
        self.check_is_method(name, arguments)?;
        match self.missing_key {
            MissingKey::NoValue => Ok(Cell::default()),
            MissingKey::Error => {
                let name = literal::quoted(name.as_bytes());
                Err(self.error(format!("map has no entry for key {name}")))
            }
        }
    }

    fn method(
        &mut self,
        dot: &Cell,
        name: &str,
        operand: &'t Operand,
        arguments: Arguments<'t, '_>,
        parameters: &[Parameter],
        call: &dyn Fn(&[Value]) -> Result<Value, Failure>,
    ) -> Evaluated<Cell> {
        let (want, got) = (parameters.len(), arguments.len());
        if want != got {
            return Err(
                self.error(format!("wrong number of args for {name}: want {want} got {got}"))
            );
        }
        let cells = self.arguments(dot, arguments, |at| parameters[at.min(want - 1)])?;
        let values: Vec<Value> = cells.into_iter().map(|cell| cell.value).collect();
        let result = call(&values);
        self.called(name, Spot::Operand(operand), result.map(Cell::plain))
    }

    fn function(
        &mut self,
        dot: &Cell,
        name: &str,
        spot: Spot<'t>,
        arguments: Arguments<'t, '_>,
    ) -> Evaluated<Cell> {
        let Some(function) = functions::find(name, self.headings) else {
            let name = literal::quoted(name.as_bytes());
            return Err(self.error(format!("{name} is not a defined function")));
        };
        let (want, got) = (function.parameters.len(), arguments.len());
        if function.rest.is_some() && got < want {
            // Go counts without what the pipeline hands over.
            let got = arguments.operands.len();
            let message =
                format!("wrong number of args for {name}: want at least {want} got {got}");
            return Err(self.error(message));
        }
        if function.rest.is_none() && got != want {
            return Err(
                self.error(format!("wrong number of args for {name}: want {want} got {got}"))
            );
        }
        if let Some(decides) = functions::short_circuit(name) {
            return self.short_circuit(dot, arguments, decides);
        }
        let cells = self.arguments(dot, arguments, |at| function.parameter(at))?;
        let result = self.call(function, arguments, &cells);
        self.called(name, spot, result)
    }

    fn arguments(
        &mut self,
        dot: &Cell,
        arguments: Arguments<'t, '_>,
        parameter: impl Fn(usize) -> Parameter,
    ) -> Evaluated<Vec<Cell>> {
        let mut cells = Vec::with_capacity(arguments.len());
        for (at, operand) in arguments.operands.iter().enumerate() {
            cells.push(self.argument(dot, operand, parameter(at))?);
        }
        if let Some(last) = arguments.last {
            self.check_type(last, parameter(cells.len()))?;
            cells.push(last.clone());
        }
        Ok(cells)
    }

    fn call(
        &mut self,
        function: &Function,
        arguments: Arguments,
        cells: &[Cell],
    ) -> Result<Cell, Failure> {
        let size = |value: &Value| match value {
            Value::Text(text) => text.len() / 64,
            Value::List(list) => list.items.len(),
            Value::Map(map) => map.entries.len(),
            _ => 0,
        };
        let mut steps: usize = cells.iter().map(|cell| size(&cell.value)).sum();
        let shown = match arguments.operands.first() {
            Some(first) => first.to_string(),
            None => String::new(),
        };
        let result = (function.call)(cells, &functions::Context { shown, limits: self.limits });
        if let Ok(cell) = &result {
            steps += size(&cell.value);
        }
        self.steps = self.steps.saturating_add(steps as u64);
        result
    }

    fn called(
        &mut self,
        name: &str,
        spot: Spot<'t>,
        result: Result<Cell, Failure>,
    ) -> Evaluated<Cell> {
        match result {
            Ok(cell) => {
                self.charge(1)?;
                Ok(cell)
            }
            Err(failure) => {
                self.at = Some(spot);
                Err(match failure {
                    Failure::Message(text) => self.error(format!("error calling {name}: {text}")),
                    Failure::Limit(text) => self.limit(format!("error calling {name}: {text}")),
                })
            }
        }
    }

    /// `and` and `or`: the first argument that decides, or the last one.
    fn short_circuit(
        &mut self,
        dot: &Cell,
        arguments: Arguments<'t, '_>,
        decides: bool,
    ) -> Evaluated<Cell> {
        let mut cell = Cell::default();
        for operand in arguments.operands {
            cell = self.argument(dot, operand, Parameter::Any)?;
            if cell.value.is_true() == decides {
                return Ok(cell);
            }
        }
        Ok(arguments.last.cloned().unwrap_or(cell))
    }

    fn argument(
        &mut self,
        dot: &Cell,
        operand: &'t Operand,
        parameter: Parameter,
    ) -> Evaluated<Cell> {
        self.charge(1)?;
        self.at = Some(Spot::Operand(operand));
        let expected = parameter.type_name();
        match (&operand.term, parameter) {
            (Term::Nil, Parameter::Any) => Ok(Cell::default()),
            (Term::Nil, _) => Err(self.error(format!("cannot assign nil to {expected}"))),
            (Term::Bool(_) | Term::Number(_) | Term::Text { .. }, Parameter::Any) => {
                self.constant(dot, operand)
            }
            (Term::Text { value, .. }, Parameter::Text) => {
                Ok(Cell::plain(Value::from(value.clone())))
            }
            (Term::Number(number), Parameter::Int) if number.int.is_some() => {
                Ok(Cell::plain(number.int.map_or(Value::Null, Value::Int)))
            }
            (Term::Bool(_) | Term::Number(_), Parameter::Text) => {
                Err(self.error(format!("expected string; found {operand}")))
            }
            (Term::Bool(_) | Term::Number(_) | Term::Text { .. }, Parameter::Int) => {
                Err(self.error(format!("expected integer; found {operand}")))
            }
            _ => {
                let cell = self.operand(dot, operand)?;
                self.check_type(&cell, parameter)?;
                Ok(cell)
            }
        }
    }

    /// An operand that is no literal, without arguments.
    fn operand(&mut self, dot: &Cell, operand: &'t Operand) -> Evaluated<Cell> {
        self.at = Some(Spot::Operand(operand));
        match &operand.term {
            Term::Field(names) => self.fields(dot, dot.clone(), operand, names, Arguments::NONE),
            Term::Variable(names) => self.variable(dot, operand, names, Arguments::NONE),
            Term::Pipeline(pipeline) => self.deeper(|state| state.pipeline(dot, pipeline)),
            Term::Identifier(name) => {
                self.function(dot, name, Spot::Operand(operand), Arguments::NONE)
            }
            Term::Chain(inner, names) => self.chain(dot, operand, inner, names, Arguments::NONE),
            Term::Nil => Err(self.error(format!("indirection through explicit nil in {operand}"))),
            Term::Bool(_) | Term::Dot | Term::Number(_) | Term::Text { .. } => {
                self.constant(dot, operand)
            }
        }
    }

    fn check_type(&self, cell: &Cell, parameter: Parameter) -> Evaluated<()> {
        let expected = parameter.type_name();
        match (parameter, &cell.value) {
            (Parameter::Any, _)
            | (Parameter::Text, Value::Text(_))
            | (Parameter::Int, Value::Int(_)) => Ok(()),
            _ if cell.is_invalid() => {
                Err(self.error(format!("invalid value; expected {expected}")))
            }
            (_, Value::Null) => Err(self
                .error(format!("wrong type for value; expected {expected}; got interface {{}}"))),
            (_, other) => {
                let got = other.type_name();
                let message = format!("wrong type for value; expected {expected}; got {got}");
                Err(self.error(message))
            }
        }
    }
}
