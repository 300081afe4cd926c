"""At 8:15 a customer says that the text never came. By three ways a person finds out why, and has it sent: Prefect's UI
in a browser, the command line, and SQL.
"""
