# The head of both key lines: takes a request apart, DS=<datastore>;CMD=<operation>. D is the datastore, A the rest.
# Nothing of the request is evaluated. See key_line.py, which makes one line of this: comments go, lines are joined by
# a blank, those that end in a backslash without one.
C=$SSH_ORIGINAL_COMMAND;
D=${C#DS=};
D=${D%%;*};
A=${C#"DS=$D;CMD="};

# An answer as the script itself gives it.
no() {
    echo "<output xmlns='http://www.vmware.com/Products/ESX/5.0/esxcli/'>\
        <structure typeName='result'>\
        <field name='status'><string>1</string></field>\
        <field name='message'><string>$1</string></field>\
        </structure></output>";
    exit 1;
};

[ "$A" != "$C" ] || no '@refusal@this is not a request of the populator';
export SSH_ORIGINAL_COMMAND="$A";
