//! Arithmetic as an explicit machine: Op1 → Oper → Op2 → Result. An error returns it to Op1.

/// Where a calculation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum State {
    /// Waits for the first number.
    #[default]
    Op1,
    /// Waits for the operator.
    Oper(u16),
    /// Waits for the second number.
    Op2(u16, u8),
}

/// What a step leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// More is wanted.
    More,
    /// The result; the machine is at Op1 again.
    Result(i64),
    /// The input makes no sense here; the machine is at Op1 again.
    Error(&'static str),
}

impl State {
    /// Takes a number or an operator.
    pub fn take(&mut self, input: &str) -> Step {
        let number = || input.parse::<u16>().map_err(|_| "a number from 0 to 65535 is wanted");
        let next = match *self {
            Self::Op1 => number().map(|first| Ok(Self::Oper(first))),
            Self::Oper(first) => match input.as_bytes() {
                [oper @ (b'*' | b'+' | b'-' | b'/')] => Ok(Ok(Self::Op2(first, *oper))),
                _ => Err("an operator is wanted: * + - /"),
            },
            Self::Op2(first, oper) => number().and_then(|second| {
                let (first, second) = (i64::from(first), i64::from(second));
                Ok(Err(match oper {
                    b'*' => first * second,
                    b'+' => first + second,
                    b'-' => first - second,
                    _ => first.checked_div(second).ok_or("division by zero")?,
                }))
            }),
        };
        *self = Self::Op1;
        match next {
            Ok(Ok(state)) => {
                *self = state;
                Step::More
            }
            Ok(Err(result)) => Step::Result(result),
            Err(error) => Step::Error(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calculate(inputs: [&str; 3]) -> Step {
        let mut state = State::default();
        for input in &inputs[..2] {
            assert_eq!(state.take(input), Step::More);
        }
        let step = state.take(inputs[2]);
        assert_eq!(state, State::Op1);
        step
    }

    #[test] // EX-3
    fn results_are_right_at_the_edges_too() {
        assert_eq!(calculate(["65535", "*", "65535"]), Step::Result(4_294_836_225));
        assert_eq!(calculate(["0", "-", "65535"]), Step::Result(-65_535));
        assert_eq!(calculate(["7", "/", "2"]), Step::Result(3));
        assert_eq!(calculate(["7", "/", "0"]), Step::Error("division by zero"));
        assert_eq!(State::default().take("+"), Step::Error("a number from 0 to 65535 is wanted"));
    }
}
